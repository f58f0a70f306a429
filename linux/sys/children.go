// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"bytes"
	"os"
	"strconv"
)

// Children returns the pids of this process's children, dead ones included, from
// /proc/self/task/TID/children (CONFIG_PROC_CHILDREN, which checkpoint/restore
// selects).
func Children() ([]int, error) { return ChildrenOf("self") }

// ChildrenOf is Children for another process, by its name in /proc.
func ChildrenOf(process string) ([]int, error) {
	tids, err := ThreadsOf(process)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, tid := range tids {
		b, err := ReadProc(process + "/task/" + tid + "/children")
		if err != nil {
			continue // the thread has ended; its children moved to another thread
		}
		for _, f := range bytes.Fields(b) {
			pid, err := strconv.Atoi(string(f))
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// ThreadsOf are the names below /proc/PID/task of a process, by its name in /proc.
func ThreadsOf(process string) ([]string, error) {
	tasks, err := OpenProc(process+"/task", os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer tasks.Close()
	return tasks.Readdirnames(-1)
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import "testing"

func TestKillsInTheLog(t *testing.T) {
	const path = "/a.slice/c.scope"
	const before = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/a.slice"
	for record, want := range map[string]bool{
		"6,802,4242,-;" + before + ",task_memcg=/a.slice/c.scope,task=tail,pid=5,uid=0\n":             true,
		"6,802,4242,c;" + before + ",task_memcg=/a.slice/c.scope/mini-exec-1,task=tail,pid=5,uid=0\n": true,
		// /pod is the mount's root.
		"6,802,4242,-;" + before + ",task_memcg=/pod/a.slice/c.scope,task=tail,pid=5,uid=0\n": true,
		"6,802,4242,-;" + before + ",task_memcg=/a.slice/d.scope,task=tail,pid=5,uid=0\n":     false,
		"6,802,4242,-;" + before + ",task_memcg=/a.slice/c.scope2,task=tail,pid=5,uid=0\n":    false,
		// A process's name.
		"6,802,4242,-;" + before + ",task_memcg=/d,task=,task_memcg=/a.slice/c.scope,task=x,pid=5,uid=0\n": false,
		// A process wrote it.
		"14,802,4242,-;" + before + ",task_memcg=/a.slice/c.scope,task=tail,pid=5,uid=0\n": false,
		"6,802,4242,-;Memory cgroup out of memory: Killed process 5 (tail)\n":              false,
		"": false,
	} {
		if isKillIn(record, path) != want {
			t.Errorf("%q: %v", record, !want)
		}
	}
}

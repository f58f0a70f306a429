// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd-mini/mini/linux/fault"
)

// Name is the runtime's, as containerd's users write it.
const Name = "io.containerd.mini.v2"

// Short runs the command line if it is `start`, or `delete` of a container that
// its shim deleted, and returns the exit code. ok is false for anything else,
// malformed command lines included, of which nothing was done.
func Short(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int, ok bool) {
	f, err := Parse(args)
	if err != nil || f.Version || f.Info || f.Namespace == "" {
		return 0, false
	}
	var answer []byte
	switch f.Action {
	case "start":
		answer, err = start(f, stdin)
	case "delete":
		answer, ok, err = deleteShort(f)
		if !ok {
			return 0, false
		}
	default:
		return 0, false
	}
	if answer != nil {
		_, werr := stdout.Write(answer)
		err = errors.Join(err, werr)
	}
	if err != nil {
		// containerd shows this to its user.
		fmt.Fprintf(stderr, "%s: %v\n", Name, err)
		if answer == nil {
			return 1, true
		}
	}
	return 0, true
}

// IsDaemon reports whether the command line makes this process a daemon.
func IsDaemon(args []string) bool {
	f, err := Parse(args)
	return err == nil && !f.Version && !f.Info && f.Namespace != "" && f.Action == ""
}

// deleteShort is the light part of the verb: see deleted. Its error is a warning for
// containerd's log.
func deleteShort(f *Flags) (answer []byte, ok bool, err error) {
	bundle, err := f.BundleDir()
	if err != nil {
		return nil, false, err
	}
	fault.Point("verb.asked")
	exit, ok := deleted(bundle)
	if !ok {
		return nil, false, nil
	}
	err = RemoveSocket(bundle)
	fault.Point("verb.socket-removed")
	return exit.Encode(), true, err
}

// BundleDir is where the container's bundle is: as told; the working directory,
// if that is it; or beside it, since a shim of a group may be asked about
// another container than the one it began with.
func (f *Flags) BundleDir() (string, error) {
	if strings.HasPrefix(f.Bundle, "/") {
		return f.Bundle, nil
	}
	cwd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if f.Bundle != "" {
		return cwd + "/" + f.Bundle, nil
	}
	return cwd[:strings.LastIndexByte(cwd, '/')+1] + f.ID, nil
}

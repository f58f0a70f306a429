// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/launch"
	"github.com/containerd-mini/mini/task"
)

// version is set at link time: -X main.version=1.2.3.
var version = "devel"

// featuresURL is the type by which containerd knows the OCI features structure,
// as JSON (core/runtime/typeurl.go).
const featuresURL = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

// printInfo answers -info: containerd asks before it makes the first container
// that needs a feature, and CRI when it starts. in holds an Any of runtime
// options, or nothing; it is given back.
func printInfo(in *os.File, out io.Writer) error {
	features, err := json.Marshal(task.Features())
	if err != nil {
		return fmt.Errorf("encode features: %w", err)
	}
	info := &types.RuntimeInfo{
		Name:     launch.Name,
		Version:  &types.RuntimeVersion{Version: version, Revision: revision()},
		Features: &anypb.Any{TypeUrl: featuresURL, Value: features},
	}
	if info.Options, err = readOptions(in); err != nil {
		return err
	}
	data, err := proto.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode runtime info: %w", err)
	}
	_, err = out.Write(data)
	return err
}

// readOptions reads the options of a request; a terminal sends none.
func readOptions(in *os.File) (*anypb.Any, error) {
	if st, err := in.Stat(); err != nil || st.Mode()&os.ModeCharDevice != 0 {
		return nil, nil
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	var options anypb.Any
	if err := proto.Unmarshal(data, &options); err != nil {
		return nil, fmt.Errorf("read options from standard input: %w", err)
	}
	if _, err := task.DecodeOptions(&options); err != nil {
		return nil, err
	}
	return &options, nil
}

func printVersion(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s:\n  Version:  %s\n  Revision: %s\n  Go version: %s\n\n",
		filepath.Base(os.Args[0]), version, revision(), runtime.Version())
	return err
}

// revision is the commit that was built, where the build recorded it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

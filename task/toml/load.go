// SPDX-License-Identifier: Apache-2.0

package toml

import (
	"fmt"
	"io"
	"os"
)

// maxFile bounds an options file, which is a few lines.
const maxFile = 1 << 20

// Load parses the options of a runtimeoptions message: its body, or the file at
// its path. A body wins over a path, as a client that sends both has read the file.
func Load(body, path string) ([]Value, error) {
	source := "options"
	if body == "" && path != "" {
		data, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("read options: %w", err)
		}
		body, source = string(data), path
	}
	values, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", source, err)
	}
	return values, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	return data, err
}

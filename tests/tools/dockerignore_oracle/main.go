// dockerignore_oracle tells which files of a context BuildKit is sent, by the
// code that buildkitd and buildctl 0.34.2 have for it: moby/patternmatcher reads
// the patterns, and fsutil filters the files.
//
// Each line of its input is a JSON object: `dockerignore`, the file's bytes in
// base64, and `paths` of the context in base64; a path that ends with `/` is a
// folder, and each comes before what is in it. Each line of its output is the
// answer: the `paths` that are sent, in their order, or `error`, true.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	gofs "io/fs"
	"os"
	"strings"

	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

type question struct {
	Dockerignore []byte   `json:"dockerignore"`
	Paths        [][]byte `json:"paths"`
}

type answer struct {
	Error bool     `json:"error"`
	Paths [][]byte `json:"paths"`
}

// memoryFS has the paths in the order in which filepath.WalkDir would call for
// them.
type memoryFS struct {
	paths [][]byte
}

func (m memoryFS) Open(string) (io.ReadCloser, error) { return nil, os.ErrNotExist }

func (m memoryFS) Walk(_ context.Context, _ string, fn gofs.WalkDirFunc) error {
	skipped := ""
	for _, path := range m.paths {
		name := string(path)
		if skipped != "" && strings.HasPrefix(name, skipped) {
			continue
		}
		stat := &types.Stat{Path: strings.TrimSuffix(name, "/"), Mode: 0o644}
		if stat.Path != name {
			stat.Mode = uint32(gofs.ModeDir) | 0o755
		}
		err := fn(stat.Path, &fsutil.DirEntryInfo{Stat: stat}, nil)
		if err == gofs.SkipDir && stat.Path != name {
			skipped = name
		} else if err != nil {
			return err
		}
	}
	return nil
}

func ask(q question) (result answer) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(q.Dockerignore))
	if err != nil {
		return answer{Error: true}
	}
	// As the frontend sends them to buildkitd.
	sent, err := json.Marshal(patterns)
	if err != nil {
		return answer{Error: true}
	}
	patterns = nil
	if err := json.Unmarshal(sent, &patterns); err != nil {
		return answer{Error: true}
	}
	filtered, err := fsutil.NewFilterFS(memoryFS{q.Paths}, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		return answer{Error: true}
	}
	err = filtered.Walk(context.Background(), "/", func(path string, entry gofs.DirEntry, err error) error {
		if entry.IsDir() {
			path += "/"
		}
		result.Paths = append(result.Paths, []byte(path))
		return err
	})
	if err != nil {
		return answer{Error: true}
	}
	return result
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 16<<20)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	encoder := json.NewEncoder(output)
	for input.Scan() {
		var q question
		if err := json.Unmarshal(input.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := encoder.Encode(ask(q)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := input.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// nerdctl_oracle tells how the real programs read what the service writes:
// nerdctl build's flags by the pflag of nerdctl 1.7.7, and lists of attributes
// by the CSV reader of buildctl 0.34.2.
//
// Each line of its input is a JSON object: `args`, what follows `nerdctl
// build`, and `records`, lists of attributes; strings are in base64. Each line
// of its output is the answer: `flags` with their values, `args` that are none,
// and for each record its fields and its attributes, null where buildctl does
// not take it. Where pflag does not take the arguments, `error` is not empty.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"github.com/tonistiigi/go-csvvalue"
)

type question struct {
	Args    [][]byte `json:"args"`
	Records [][]byte `json:"records"`
}

type record struct {
	Fields     [][]byte    `json:"fields"`
	Attributes [][2][]byte `json:"attributes"`
}

type answer struct {
	Error   string              `json:"error"`
	Flags   map[string][][]byte `json:"flags"`
	Args    [][]byte            `json:"args"`
	Records []record            `json:"records"`
}

// buildFlags has the definitions of nerdctl 1.7.7's cmd/nerdctl/builder_build.go.
func buildFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("build", pflag.ContinueOnError)
	flags.Usage = func() {}
	for _, name := range []string{"buildkit-host", "iidfile", "network", "progress", "target"} {
		flags.String(name, "", "")
	}
	flags.StringP("file", "f", "", "")
	flags.StringP("output", "o", "", "")
	for _, name := range []string{"allow", "build-arg", "cache-from", "cache-to", "label", "secret", "ssh"} {
		flags.StringArray(name, nil, "")
	}
	flags.StringArrayP("tag", "t", nil, "")
	flags.StringSlice("platform", nil, "")
	flags.Bool("no-cache", false, "")
	flags.BoolP("quiet", "q", false, "")
	flags.Bool("rm", true, "")
	return flags
}

func toBytes(texts []string) [][]byte {
	result := make([][]byte, 0, len(texts))
	for _, text := range texts {
		result = append(result, []byte(text))
	}
	return result
}

func readArgs(args [][]byte, result *answer) error {
	texts := make([]string, 0, len(args))
	for _, arg := range args {
		texts = append(texts, string(arg))
	}
	flags := buildFlags()
	if err := flags.Parse(texts); err != nil {
		return err
	}
	flags.Visit(func(flag *pflag.Flag) {
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			result.Flags[flag.Name] = toBytes(list.GetSlice())
		} else {
			result.Flags[flag.Name] = toBytes([]string{flag.Value.String()})
		}
	})
	result.Args = toBytes(flags.Args())
	return nil
}

func readRecord(text string) record {
	fields, err := csvvalue.Fields(text, nil)
	if err != nil {
		return record{}
	}
	result := record{Fields: toBytes(fields)}
	attributes := make([][2][]byte, 0, len(fields))
	for _, field := range fields {
		// As cmd/buildctl/build/output.go and its neighbours do.
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return result
		}
		attributes = append(attributes, [2][]byte{[]byte(strings.ToLower(key)), []byte(value)})
	}
	result.Attributes = attributes
	return result
}

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriterSize(os.Stdout, 1<<20)
	decoder := json.NewDecoder(input)
	encoder := json.NewEncoder(output)
	for decoder.More() {
		var asked question
		if err := decoder.Decode(&asked); err != nil {
			fmt.Fprintln(os.Stderr, "nerdctl_oracle:", err)
			os.Exit(1)
		}
		result := answer{Flags: map[string][][]byte{}, Args: [][]byte{}, Records: []record{}}
		if err := readArgs(asked.Args, &result); err != nil {
			result = answer{Error: err.Error(), Records: []record{}}
		}
		for _, text := range asked.Records {
			result.Records = append(result.Records, readRecord(string(text)))
		}
		if err := encoder.Encode(result); err != nil {
			fmt.Fprintln(os.Stderr, "nerdctl_oracle:", err)
			os.Exit(1)
		}
	}
	if err := output.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "nerdctl_oracle:", err)
		os.Exit(1)
	}
}

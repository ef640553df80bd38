module containerbuilder/tests/tools/nerdctl_oracle

go 1.26.8

tool containerbuilder/tests/tools/nerdctl_oracle

require (
	github.com/spf13/pflag v1.0.5
	github.com/tonistiigi/go-csvvalue v0.0.0-20240814133006-030d3b2625d0
)

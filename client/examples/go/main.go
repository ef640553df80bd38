// ContainerBuilder from Go; ../README.md tells what the commands do.
//
//	go generate && go build -o example .
//	./example --address=unix:///run/cb.sock build /srv/app app:dev
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "containerbuilder/client/examples/go/gen/containerbuilderv1"
)

//go:generate ./generate.sh

type line map[string]any

func show(l line) {
	// Never fails: what is in a line can be JSON.
	_ = json.NewEncoder(os.Stdout).Encode(l)
}

func showEvent(event *pb.BuildEvent) {
	l := line{"sequence": event.Sequence}
	switch e := event.Event.(type) {
	case *pb.BuildEvent_Queued:
		l["event"] = "queued"
	case *pb.BuildEvent_Started:
		l["event"] = "started"
	case *pb.BuildEvent_Step:
		l["event"] = "step"
	case *pb.BuildEvent_Output:
		l["event"] = "output"
		l["stream"] = e.Output.Stream.String()
		// The bytes are nerdctl's, unchanged, and may end within a character.
		// Write them as they are to keep them so.
		l["text"] = string(e.Output.Data)
	case *pb.BuildEvent_Finished:
		build := e.Finished.Build
		l["event"] = "finished"
		l["state"] = build.State.String()
		l["exit_code"] = build.ExitCode
		l["reason"] = build.GetFailure().GetReason()
	default:
		return // a heartbeat, or of a later version
	}
	show(l)
}

// values is an option's value as it is. Text would be a path of the service's
// own where one of that name is there.
func values(v ...string) *pb.OptionValue {
	return &pb.OptionValue{Kind: &pb.OptionValue_Values{Values: &pb.ValueList{Values: v}}}
}

// pairs has keys and values in turn.
func pairs(keysAndValues ...string) *pb.OptionValue {
	list := &pb.PairList{}
	for i := 0; i < len(keysAndValues); i += 2 {
		list.Pairs = append(list.Pairs, &pb.Pair{Key: keysAndValues[i], Value: keysAndValues[i+1]})
	}
	return &pb.OptionValue{Kind: &pb.OptionValue_Pairs{Pairs: list}}
}

func specOf(contextPath, tag string) *pb.BuildSpec {
	return &pb.BuildSpec{Options: &pb.BuildOptions{
		ContextPath: contextPath,
		Options:     []*pb.Option{{Name: "tag", Value: values(tag)}},
	}}
}

type client struct {
	pb.ContainerBuilderClient
}

func (c client) health(ctx context.Context) error {
	answer, err := c.Health(ctx, &pb.HealthRequest{})
	if err != nil {
		return err
	}
	checks := map[string]string{}
	for _, check := range answer.Checks {
		checks[check.Name] = check.State.String()
	}
	show(line{"state": answer.State.String(), "nerdctl_version": answer.NerdctlVersion, "checks": checks})
	return nil
}

func (c client) args(ctx context.Context, contextPath, tag string) error {
	options := specOf(contextPath, tag).Options
	options.BuildArg = pairs("VERSION", "1.0")
	options.Options = append(options.Options,
		&pb.Option{Name: "no_cache", Value: &pb.OptionValue{Kind: &pb.OptionValue_Flag{Flag: true}}})
	answer, err := c.ConstructArgs(ctx, &pb.ConstructArgsRequest{Options: options})
	if err != nil {
		return err
	}
	show(line{"args": answer.Args})
	return nil
}

// errNotSucceeded: the build ended otherwise, which its last line tells.
var errNotSucceeded = errors.New("the build did not succeed")

// follow shows the events of Build or WatchBuild (their Recv), until `until` says so or the
// build ends. It answers the last event.
func follow[R interface{ GetEvent() *pb.BuildEvent }](
	receive func() (R, error), until func(*pb.BuildEvent) bool,
) (*pb.BuildEvent, error) {
	for {
		response, err := receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		event := response.GetEvent()
		showEvent(event)
		if finished := event.GetFinished(); finished != nil {
			if finished.Build.State != pb.Build_STATE_SUCCEEDED {
				return event, errNotSucceeded
			}
			return event, nil
		}
		if until(event) {
			return event, nil
		}
	}
}

func never(*pb.BuildEvent) bool { return false }

func hasOutput(event *pb.BuildEvent) bool { return event.GetOutput() != nil }

func (c client) build(ctx context.Context, spec *pb.BuildSpec) (*pb.Build, error) {
	// The build is stopped when this call is cancelled; see DisconnectPolicy.
	stream, err := c.Build(ctx, &pb.BuildRequest{Spec: spec})
	if err != nil {
		return nil, err
	}
	last, err := follow(stream.Recv, never)
	return last.GetFinished().GetBuild(), err
}

func (c client) upload(ctx context.Context, folder, tag string) error {
	spec, err := c.uploaded(ctx, folder, tag)
	if err != nil {
		return err
	}
	_, err = c.build(ctx, spec)
	return err
}

// uploaded is what to build of a folder of this machine, once it is sent.
func (c client) uploaded(ctx context.Context, folder, tag string) (*pb.BuildSpec, error) {
	digest, err := c.uploadFolder(ctx, folder)
	if err != nil {
		return nil, err
	}
	// The context's path is one inside the upload now, "" its root.
	spec := specOf("", tag)
	spec.ContextDigest = digest
	return spec, nil
}

func (c client) export(ctx context.Context, folder, tag, file string) error {
	spec, err := c.uploaded(ctx, folder, tag)
	if err != nil {
		return err
	}
	// Values, which the service keeps in memory while the build runs: of this
	// machine's files it knows nothing.
	spec.Secrets = []*pb.Secret{{Id: "token", Value: []byte(os.Getenv("SECRET_TOKEN"))}}
	spec.RegistryAuths = []*pb.RegistryAuth{{
		Host:     os.Getenv("REGISTRY_HOST"),
		Username: os.Getenv("REGISTRY_USER"),
		Password: os.Getenv("REGISTRY_PASSWORD"),
	}}
	// The file is written here, not there.
	spec.Options.Output = pairs("type", "oci", "dest", file)
	build, err := c.build(ctx, spec)
	if err != nil {
		return err
	}
	for _, artifact := range build.Artifacts { // one, of the one output
		if err := c.download(ctx, artifact, file); err != nil {
			return err
		}
		show(line{"file": file, "size_bytes": artifact.SizeBytes, "digest": artifact.Digest})
	}
	return nil
}

// download writes what a build made into a file. After a lost connection it
// could go on at any offset.
func (c client) download(ctx context.Context, artifact *pb.Artifact, file string) error {
	stream, err := c.DownloadArtifact(ctx, &pb.DownloadArtifactRequest{Name: artifact.Name})
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	hash := sha256.New()
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		hash.Write(response.Data)
		if _, err := out.Write(response.Data); err != nil {
			return err
		}
	}
	if digest := fmt.Sprintf("sha256:%x", hash.Sum(nil)); digest != artifact.Digest {
		return fmt.Errorf("%s has the digest %s", artifact.Name, digest)
	}
	return out.Close()
}

func (c client) detach(ctx context.Context, contextPath, tag string) error {
	// The build is the service's own now: it needs nobody who watches.
	created, err := c.CreateBuild(ctx, &pb.CreateBuildRequest{Spec: specOf(contextPath, tag)})
	if err != nil {
		return err
	}
	name := created.Build.Name
	watching, drop := context.WithCancel(ctx)
	defer drop()
	stream, err := c.WatchBuild(watching, &pb.WatchBuildRequest{Name: name})
	if err != nil {
		return err
	}
	last, err := follow(stream.Recv, hasOutput)
	if err != nil {
		return err
	}
	drop()
	show(line{"dropped_at": last.Sequence})
	// Later, maybe from another machine: with the name and the last sequence
	// nothing is missed or repeated.
	stream, err = c.WatchBuild(ctx, &pb.WatchBuildRequest{Name: name, AfterSequence: last.Sequence})
	if err != nil {
		return err
	}
	_, err = follow(stream.Recv, never)
	return err
}

func (c client) cancel(ctx context.Context, contextPath, tag string) error {
	created, err := c.CreateBuild(ctx, &pb.CreateBuildRequest{Spec: specOf(contextPath, tag)})
	if err != nil {
		return err
	}
	name := created.Build.Name
	stream, err := c.WatchBuild(ctx, &pb.WatchBuildRequest{Name: name})
	if err != nil {
		return err
	}
	if _, err = follow(stream.Recv, hasOutput); err != nil {
		return err
	}
	// Answers when nothing of the build runs any more; its watchers see `finished`.
	if _, err = c.CancelBuild(ctx, &pb.CancelBuildRequest{Name: name}); err != nil {
		return err
	}
	_, err = follow(stream.Recv, never)
	return err
}

// showError shows a refusal with its typed details.
func showError(refused *status.Status) {
	l := line{"code": code.Code(refused.Code()).String(), "reason": "", "metadata": line{}, "fields": []string{}}
	for _, detail := range refused.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			l["reason"] = d.Reason
			if d.Metadata != nil {
				l["metadata"] = d.Metadata
			}
		case *errdetails.BadRequest:
			fields := []string{}
			for _, violation := range d.FieldViolations {
				fields = append(fields, violation.Field)
			}
			l["fields"] = fields
		}
	}
	show(l)
}

// bearer sends a token with each call: over TLS, or on this machine alone.
type bearer struct {
	token string
	isTLS bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.isTLS }

func connect(address, ca, token string) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if ca != "" {
		var err error
		if transport, err = credentials.NewClientTLSFromFile(ca, ""); err != nil {
			return nil, err
		}
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if ca == "" {
		// A proxy would see all that is not encrypted.
		options = append(options, grpc.WithNoProxy())
	}
	if token != "" {
		if ca == "" && !strings.HasPrefix(address, "unix:") {
			return nil, errors.New("a token is not sent in the clear: use --ca")
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer{token, ca != ""}))
	}
	return grpc.NewClient(address, options...)
}

func run() error {
	address := flag.String("address", "unix:///run/container-builder/container-builder.sock", "unix:///PATH or HOST:PORT")
	ca := flag.String("ca", "", "use TLS; PEM of the authority that signed the service's certificate")
	flag.Parse()

	// From the environment: arguments are there for every user of the machine to see.
	connection, err := connect(*address, *ca, os.Getenv("CONTAINER_BUILDER_TOKEN"))
	if err != nil {
		return err
	}
	defer connection.Close()
	c, ctx := client{pb.NewContainerBuilderClient(connection)}, context.Background()
	if flag.NArg() == 1 && flag.Arg(0) == "health" {
		return c.health(ctx)
	}
	if flag.NArg() == 3 {
		contextPath, tag := flag.Arg(1), flag.Arg(2)
		switch flag.Arg(0) {
		case "args":
			return c.args(ctx, contextPath, tag)
		case "build":
			_, err := c.build(ctx, specOf(contextPath, tag))
			return err
		case "upload":
			return c.upload(ctx, contextPath, tag)
		case "detach":
			return c.detach(ctx, contextPath, tag)
		case "cancel":
			return c.cancel(ctx, contextPath, tag)
		}
	}
	if flag.NArg() == 4 && flag.Arg(0) == "export" {
		return c.export(ctx, flag.Arg(1), flag.Arg(2), flag.Arg(3))
	}
	return errors.New("usage: example [--address=A] [--ca=FILE]" +
		" health | args|build|upload|detach|cancel CONTEXT TAG | export CONTEXT TAG FILE")
}

func main() {
	err := run()
	if err == nil {
		return
	}
	if refused, ok := status.FromError(err); ok {
		showError(refused)
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

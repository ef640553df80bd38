package io.containerbuilder.example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.containerbuilder.v1.Artifact;
import io.containerbuilder.v1.Build;
import io.containerbuilder.v1.BuildEvent;
import io.containerbuilder.v1.BuildOptions;
import io.containerbuilder.v1.BuildRequest;
import io.containerbuilder.v1.BuildResponse;
import io.containerbuilder.v1.BuildSpec;
import io.containerbuilder.v1.CancelBuildRequest;
import io.containerbuilder.v1.ConstructArgsRequest;
import io.containerbuilder.v1.ContainerBuilderGrpc;
import io.containerbuilder.v1.ContainerBuilderGrpc.ContainerBuilderBlockingStub;
import io.containerbuilder.v1.CreateBuildRequest;
import io.containerbuilder.v1.DownloadArtifactRequest;
import io.containerbuilder.v1.HealthRequest;
import io.containerbuilder.v1.Option;
import io.containerbuilder.v1.OptionValue;
import io.containerbuilder.v1.PairList;
import io.containerbuilder.v1.ValueList;
import io.containerbuilder.v1.WatchBuildRequest;
import io.containerbuilder.v1.WatchBuildResponse;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * ContainerBuilder from Java; ../README.md tells what the commands do.
 *
 * <pre>
 *   mvn compile
 *   java -cp 'target/classes:target/lib/*' io.containerbuilder.example.Example \
 *       --address=unix:///run/cb.sock build /srv/app app:dev
 * </pre>
 */
public final class Example {
  private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();
  private static final PrintStream OUT =
      new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

  private final ContainerBuilderBlockingStub stub;

  private Example(ContainerBuilderBlockingStub stub) {
    this.stub = stub;
  }

  /** Keys and values in turn. */
  private static void show(Object... line) {
    Map<String, Object> object = new LinkedHashMap<>();
    for (int i = 0; i < line.length; i += 2) {
      object.put((String) line[i], line[i + 1]);
    }
    OUT.println(GSON.toJson(object));
  }

  private static void show(BuildEvent event) {
    long sequence = event.getSequence();
    switch (event.getEventCase()) {
      case OUTPUT -> {
        var output = event.getOutput();
        // The bytes are nerdctl's, unchanged, and may end within a character. Write them as they are to keep them so.
        String text = output.getData().toStringUtf8();
        show("sequence", sequence, "event", "output", "stream", output.getStream().name(), "text", text);
      }
      case FINISHED -> {
        Build build = event.getFinished().getBuild();
        show(
            "sequence", sequence,
            "event", "finished",
            "state", build.getState().name(),
            "exit_code", build.getExitCode(),
            "reason", build.getFailure().getReason());
      }
      case QUEUED, STARTED, STEP ->
          show("sequence", sequence, "event", event.getEventCase().name().toLowerCase());
      default -> {} // a heartbeat, or of a later version
    }
  }

  /** Shows events as they come, until `isLast` or the build's end; answers the last. */
  private static <R> BuildEvent follow(
      Iterator<R> responses, Function<R, BuildEvent> eventOf, Predicate<BuildEvent> isLast) {
    BuildEvent event = BuildEvent.getDefaultInstance();
    while (responses.hasNext()) {
      event = eventOf.apply(responses.next());
      show(event);
      if (isLast.test(event)) {
        break;
      }
    }
    return event;
  }

  private static boolean succeeded(BuildEvent last) {
    return last.getFinished().getBuild().getState() == Build.State.STATE_SUCCEEDED;
  }

  private static BuildOptions.Builder optionsOf(String context, String tag) {
    // `values` is an option's value as it is; `text` would be a path of the service's own where one of that name is
    // there.
    OptionValue value = OptionValue.newBuilder().setValues(ValueList.newBuilder().addValues(tag)).build();
    return BuildOptions.newBuilder()
        .setContextPath(context)
        .addOptions(Option.newBuilder().setName("tag").setValue(value));
  }

  /** Keys and values in turn. */
  private static OptionValue pairs(String... keysAndValues) {
    PairList.Builder list = PairList.newBuilder();
    for (int i = 0; i < keysAndValues.length; i += 2) {
      list.addPairsBuilder().setKey(keysAndValues[i]).setValue(keysAndValues[i + 1]);
    }
    return OptionValue.newBuilder().setPairs(list).build();
  }

  private static BuildSpec specOf(String context, String tag) {
    return BuildSpec.newBuilder().setOptions(optionsOf(context, tag)).build();
  }

  private boolean health() {
    var answer = stub.health(HealthRequest.getDefaultInstance());
    Map<String, String> checks = new LinkedHashMap<>();
    answer.getChecksList().forEach(check -> checks.put(check.getName(), check.getState().name()));
    show("state", answer.getState().name(), "nerdctl_version", answer.getNerdctlVersion(), "checks", checks);
    return true;
  }

  private boolean args(String context, String tag) {
    BuildOptions.Builder options = optionsOf(context, tag)
        .setBuildArg(pairs("VERSION", "1.0"))
        .addOptions(Option.newBuilder().setName("no_cache").setValue(OptionValue.newBuilder().setFlag(true)));
    var answer = stub.constructArgs(ConstructArgsRequest.newBuilder().setOptions(options).build());
    show("args", List.copyOf(answer.getArgsList()));
    return true;
  }

  private BuildEvent build(BuildSpec spec) {
    // The build is stopped when this call is cancelled; see DisconnectPolicy.
    var responses = stub.build(BuildRequest.newBuilder().setSpec(spec).build());
    return follow(responses, BuildResponse::getEvent, event -> false);
  }

  /** What to build of a folder of this machine, once it is sent. */
  private BuildSpec.Builder uploaded(String folder, String tag)
      throws IOException, InterruptedException, StatusException {
    Upload sent = Upload.of(stub, Path.of(folder));
    show(
        "context_digest", sent.contextDigest(),
        "blobs", sent.blobs(),
        "uploaded_blobs", sent.uploadedBlobs(),
        "uploaded_bytes", sent.uploadedBytes());
    // The context's path is one inside the upload now, "" its root.
    return specOf("", tag).toBuilder().setContextDigest(sent.contextDigest());
  }

  private boolean export(String folder, String tag, String file)
      throws IOException, InterruptedException, StatusException, NoSuchAlgorithmException {
    BuildSpec.Builder spec = uploaded(folder, tag);
    // Values, which the service keeps in memory while the build runs: of this machine's files it knows nothing.
    spec.addSecretsBuilder().setId("token").setValue(ByteString.copyFromUtf8(System.getenv("SECRET_TOKEN")));
    spec.addRegistryAuthsBuilder()
        .setHost(System.getenv("REGISTRY_HOST"))
        .setUsername(System.getenv("REGISTRY_USER"))
        .setPassword(System.getenv("REGISTRY_PASSWORD"));
    // The file is written here, not there.
    spec.getOptionsBuilder().setOutput(pairs("type", "oci", "dest", file));
    BuildEvent last = build(spec.build());
    for (Artifact artifact : last.getFinished().getBuild().getArtifactsList()) { // one, of the one output
      download(artifact, Path.of(file));
      show("file", file, "size_bytes", artifact.getSizeBytes(), "digest", artifact.getDigest());
    }
    return succeeded(last);
  }

  /** Writes what a build made into a file. After a lost connection it could go on at any offset. */
  private void download(Artifact artifact, Path file) throws IOException, NoSuchAlgorithmException {
    MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
    try (OutputStream out = new DigestOutputStream(Files.newOutputStream(file), sha256)) {
      var responses = stub.downloadArtifact(DownloadArtifactRequest.newBuilder().setName(artifact.getName()).build());
      while (responses.hasNext()) {
        responses.next().getData().writeTo(out);
      }
    }
    String digest = "sha256:" + HexFormat.of().formatHex(sha256.digest());
    if (!digest.equals(artifact.getDigest())) {
      throw new IOException(artifact.getName() + " has the digest " + digest);
    }
  }

  /** Starts a build that is the service's own: it needs nobody who watches. Answers its name. */
  private String create(String context, String tag) {
    var request = CreateBuildRequest.newBuilder().setSpec(specOf(context, tag)).build();
    return stub.createBuild(request).getBuild().getName();
  }

  private Iterator<WatchBuildResponse> watch(String name, long afterSequence) {
    return stub.watchBuild(
        WatchBuildRequest.newBuilder().setName(name).setAfterSequence(afterSequence).build());
  }

  private boolean detach(String context, String tag) throws Exception {
    String name = create(context, tag);
    long sequence;
    // A call ends with the context that it was made in.
    try (Context.CancellableContext watching = Context.current().withCancellation()) {
      sequence = watching
          .call(() -> follow(watch(name, 0), WatchBuildResponse::getEvent, BuildEvent::hasOutput))
          .getSequence();
    }
    show("dropped_at", sequence);
    // Later, maybe from another machine: with the name and the last sequence nothing is missed or repeated.
    return succeeded(follow(watch(name, sequence), WatchBuildResponse::getEvent, event -> false));
  }

  private boolean cancel(String context, String tag) {
    String name = create(context, tag);
    var events = watch(name, 0);
    follow(events, WatchBuildResponse::getEvent, BuildEvent::hasOutput);
    // Answers when nothing of the build runs any more; its watchers see `finished`.
    stub.cancelBuild(CancelBuildRequest.newBuilder().setName(name).build());
    return succeeded(follow(events, WatchBuildResponse::getEvent, event -> false));
  }

  /** A refusal with its typed details. */
  private static void showError(Exception error) throws InvalidProtocolBufferException {
    String reason = "";
    Map<String, String> metadata = Map.of();
    List<String> fields = new ArrayList<>();
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo info = detail.unpack(ErrorInfo.class);
        reason = info.getReason();
        metadata = info.getMetadataMap();
      } else if (detail.is(BadRequest.class)) {
        detail.unpack(BadRequest.class).getFieldViolationsList().forEach(v -> fields.add(v.getField()));
      }
    }
    String code = io.grpc.Status.fromThrowable(error).getCode().name();
    show("code", code, "reason", reason, "metadata", metadata, "fields", fields);
  }

  /** Sends a token with each call: over TLS, or on this machine alone. */
  private static final class BearerToken extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private final String token;

    BearerToken(String token) {
      this.token = token;
    }

    @Override
    public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + token);
      applier.apply(headers);
    }
  }

  private boolean run(String[] command) throws Exception {
    if (command.length == 1 && command[0].equals("health")) {
      return health();
    }
    if (command.length == 3) {
      switch (command[0]) {
        case "args":
          return args(command[1], command[2]);
        case "build":
          return succeeded(build(specOf(command[1], command[2])));
        case "upload":
          return succeeded(build(uploaded(command[1], command[2]).build()));
        case "detach":
          return detach(command[1], command[2]);
        case "cancel":
          return cancel(command[1], command[2]);
        default:
      }
    }
    if (command.length == 4 && command[0].equals("export")) {
      return export(command[1], command[2], command[3]);
    }
    throw new IllegalArgumentException(
        "usage: [--address=A] [--ca=FILE]"
            + " health | args|build|upload|detach|cancel CONTEXT TAG | export CONTEXT TAG FILE");
  }

  private static boolean connectAndRun(String[] arguments) throws Exception {
    String address = "unix:///run/container-builder/container-builder.sock";
    String ca = null; // use TLS; PEM of the authority that signed the service's certificate
    List<String> command = new ArrayList<>();
    for (String argument : arguments) {
      if (argument.startsWith("--address=")) {
        address = argument.substring("--address=".length());
      } else if (argument.startsWith("--ca=")) {
        ca = argument.substring("--ca=".length());
      } else {
        command.add(argument);
      }
    }
    // From the environment: arguments are there for every user of the machine to see.
    String token = System.getenv("CONTAINER_BUILDER_TOKEN");
    if (token != null && ca == null && !address.startsWith("unix:")) {
      throw new IllegalArgumentException("a token is not sent in the clear: use --ca");
    }
    ChannelCredentials credentials = ca == null
        ? InsecureChannelCredentials.create()
        : TlsChannelCredentials.newBuilder().trustManager(new File(ca)).build();
    ManagedChannel channel = Grpc.newChannelBuilder(address, credentials).build();
    try {
      var stub = ContainerBuilderGrpc.newBlockingStub(channel);
      if (token != null) {
        stub = stub.withCallCredentials(new BearerToken(token));
      }
      return new Example(stub).run(command.toArray(String[]::new));
    } finally {
      channel.shutdownNow();
    }
  }

  public static void main(String[] arguments) throws Exception {
    boolean succeeded = false;
    try {
      succeeded = connectAndRun(arguments);
    } catch (StatusRuntimeException | StatusException error) {
      showError(error);
    } catch (IllegalArgumentException | IOException error) {
      System.err.println(error.getMessage());
    }
    System.exit(succeeded ? 0 : 1);
  }
}

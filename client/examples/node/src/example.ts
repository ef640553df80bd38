// ContainerBuilder from Node; ../README.md tells what the commands do.
//
//   npm ci && npm run build
//   node dist/src/example.js --address=unix:///run/cb.sock build /srv/app app:dev
import { createHash } from "node:crypto";
import { createWriteStream, readFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import {
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  InterceptingCall,
  type InterceptorOptions,
  type NextCall,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, Status } from "../gen/containerbuilder/errors/v1/error_details.js";
import {
  type Artifact,
  Build_State,
  type BuildEvent,
  BuildOptions,
  BuildRequest,
  BuildSpec,
  CancelBuildRequest,
  type CancelBuildResponse,
  ConstructArgsRequest,
  type ConstructArgsResponse,
  ContainerBuilderClient,
  CreateBuildRequest,
  type CreateBuildResponse,
  type DownloadArtifactResponse,
  type HealthRequest,
  type HealthResponse,
  type OptionValue,
  WatchBuildRequest,
} from "../gen/containerbuilder/v1/container_builder.js";
import { uploadFolder } from "./upload.js";

const show = (line: object) => console.log(JSON.stringify(line));

function showEvent({ sequence, event }: BuildEvent) {
  switch (event?.$case) {
    case "output": {
      const { stream, data } = event.value;
      // The bytes are nerdctl's, unchanged, and may end within a character. Write them as they are to keep them so.
      return show({ sequence, event: "output", stream, text: data.toString() });
    }
    case "finished": {
      const { state, exitCode, failure } = event.value.build!;
      return show({ sequence, event: "finished", state, exit_code: exitCode, reason: failure?.reason ?? "" });
    }
    case "queued":
    case "started":
    case "step":
      return show({ sequence, event: event.$case });
  }
  // A heartbeat, or of a later version.
}

const hasOutput = (event: BuildEvent) => event.event?.$case === "output";
const succeeded = (event: BuildEvent) =>
  event.event?.$case === "finished" && event.event.value.build?.state === Build_State.STATE_SUCCEEDED;

/** A call that answers once, as a promise. */
function once<Request, Response>(
  method: (request: Request, callback: (error: ServiceError | null, response: Response) => void) => ClientUnaryCall,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method(request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

/** Shows the events of a call of Build or WatchBuild as they come; answers the last. */
async function follow(
  call: ClientReadableStream<{ event?: BuildEvent | undefined }>,
  isLast: (event: BuildEvent) => boolean = () => false,
): Promise<BuildEvent> {
  let last: BuildEvent | undefined;
  for await (const response of call as AsyncIterable<{ event?: BuildEvent }>) {
    last = response.event!;
    showEvent(last);
    if (isLast(last)) break;
  }
  if (!last) throw new Error("the stream ended without an event");
  return last;
}

// `values` is an option's value as it is; `text` would be a path of the service's own where one of that name is there.
const optionsOf = (contextPath: string, tag: string) =>
  BuildOptions.fromPartial({
    contextPath,
    options: [{ name: "tag", value: { kind: { $case: "values", value: { values: [tag] } } } }],
  });

const pairs = (values: Record<string, string>): OptionValue => ({
  kind: { $case: "pairs", value: { pairs: Object.entries(values).map(([key, value]) => ({ key, value })) } },
});

async function health(client: ContainerBuilderClient): Promise<boolean> {
  const answer = await once<HealthRequest, HealthResponse>(client.health.bind(client), {});
  const checks = Object.fromEntries(answer.checks.map(({ name, state }) => [name, state]));
  show({ state: answer.state, nerdctl_version: answer.nerdctlVersion, checks });
  return true;
}

type Command = (client: ContainerBuilderClient, context: string, tag: string, file: string) => Promise<boolean>;

const args: Command = async (client, context, tag) => {
  const options = optionsOf(context, tag);
  options.buildArg = pairs({ VERSION: "1.0" });
  options.options.push({ name: "no_cache", value: { kind: { $case: "flag", value: true } } });
  const request = ConstructArgsRequest.fromPartial({ options });
  const answer = await once<ConstructArgsRequest, ConstructArgsResponse>(client.constructArgs.bind(client), request);
  show({ args: answer.args });
  return true;
};

const build: Command = async (client, context, tag) => {
  // The build is stopped when this call is cancelled; see DisconnectPolicy.
  const spec = BuildSpec.fromPartial({ options: optionsOf(context, tag) });
  return succeeded(await follow(client.build(BuildRequest.fromPartial({ spec }))));
};

/** What to build of a folder of this machine, once it is sent. */
async function uploaded(client: ContainerBuilderClient, folder: string, tag: string): Promise<BuildSpec> {
  const { contextDigest, blobs, uploadedBlobs, uploadedBytes } = await uploadFolder(client, folder);
  show({ context_digest: contextDigest, blobs, uploaded_blobs: uploadedBlobs, uploaded_bytes: uploadedBytes });
  // The context's path is one inside the upload now, "" its root.
  return BuildSpec.fromPartial({ options: optionsOf("", tag), contextDigest });
}

const upload: Command = async (client, folder, tag) => {
  const spec = await uploaded(client, folder, tag);
  return succeeded(await follow(client.build(BuildRequest.fromPartial({ spec }))));
};

const exportImage: Command = async (client, folder, tag, file) => {
  const spec = await uploaded(client, folder, tag);
  const { SECRET_TOKEN = "", REGISTRY_HOST = "", REGISTRY_USER = "", REGISTRY_PASSWORD = "" } = process.env;
  // Values, which the service keeps in memory while the build runs: of this machine's files it knows nothing.
  spec.secrets = [{ id: "token", value: Buffer.from(SECRET_TOKEN) }];
  spec.registryAuths = [{ host: REGISTRY_HOST, username: REGISTRY_USER, password: REGISTRY_PASSWORD }];
  // The file is written here, not there.
  spec.options!.output = pairs({ type: "oci", dest: file });
  const last = await follow(client.build(BuildRequest.fromPartial({ spec })));
  const build = last.event?.$case === "finished" ? last.event.value.build : undefined;
  for (const artifact of build?.artifacts ?? []) { // one, of the one output
    await download(client, artifact, file);
    show({ file, size_bytes: artifact.sizeBytes, digest: artifact.digest });
  }
  return succeeded(last);
};

/** Writes what a build made into a file. After a lost connection it could go on at any offset. */
async function download(client: ContainerBuilderClient, { name, digest }: Artifact, file: string) {
  const hash = createHash("sha256");
  const call = client.downloadArtifact({ name, offset: 0 });
  await pipeline(
    async function* () {
      for await (const { data } of call as AsyncIterable<DownloadArtifactResponse>) {
        hash.update(data);
        yield data;
      }
    },
    createWriteStream(file),
  );
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== digest) throw new Error(`${name} has the digest ${found}`);
}

/** Starts a build that is the service's own: it needs nobody who watches. Answers its name. */
async function create(client: ContainerBuilderClient, context: string, tag: string): Promise<string> {
  const request = CreateBuildRequest.fromPartial({ spec: { options: optionsOf(context, tag) } });
  const answer = await once<CreateBuildRequest, CreateBuildResponse>(client.createBuild.bind(client), request);
  return answer.build!.name;
}

const detach: Command = async (client, context, tag) => {
  const name = await create(client, context, tag);
  const call = client.watchBuild(WatchBuildRequest.fromPartial({ name }));
  const { sequence } = await follow(call, hasOutput);
  call.on("error", () => {}); // CANCELLED, as it was told to be
  call.cancel();
  show({ dropped_at: sequence });
  // Later, maybe from another machine: with the name and the last sequence nothing is missed or repeated.
  return succeeded(await follow(client.watchBuild(WatchBuildRequest.fromPartial({ name, afterSequence: sequence }))));
};

const cancel: Command = async (client, context, tag) => {
  const name = await create(client, context, tag);
  let cancelled: Promise<CancelBuildResponse> | undefined;
  const last = await follow(client.watchBuild(WatchBuildRequest.fromPartial({ name })), (event) => {
    if (hasOutput(event)) {
      // Answers when nothing of the build runs any more; its watchers see `finished`.
      cancelled ??= once<CancelBuildRequest, CancelBuildResponse>(client.cancelBuild.bind(client), { name });
    }
    return false;
  });
  await cancelled;
  return succeeded(last);
};

/** A refusal with its typed details: google.rpc's, which the proto folder declares under a name of its own. */
function showError(error: ServiceError) {
  const line = { code: status[error.code], reason: "", metadata: {}, fields: [] as string[] };
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  for (const { typeUrl, value } of bytes ? Status.decode(bytes as Buffer).details : []) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) {
      ({ reason: line.reason, metadata: line.metadata } = ErrorInfo.decode(value));
    } else if (typeUrl.endsWith("/google.rpc.BadRequest")) {
      line.fields = BadRequest.decode(value).fieldViolations.map(({ field }) => field);
    }
  }
  show(line);
}

function connect(address: string, ca?: string, token?: string): ContainerBuilderClient {
  if (token && !ca && !address.startsWith("unix:")) throw new Error("a token is not sent in the clear: use --ca");
  const withToken = (options: InterceptorOptions, nextCall: NextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        if (token) metadata.set("authorization", `Bearer ${token}`);
        next(metadata, listener);
      },
    });
  const channel = ca ? credentials.createSsl(readFileSync(ca)) : credentials.createInsecure();
  return new ContainerBuilderClient(address, channel, {
    interceptors: [withToken],
    // A proxy would see all that is not encrypted.
    "grpc.enable_http_proxy": ca ? 1 : 0,
  });
}

const commands: Record<string, Command> = { args, build, upload, export: exportImage, detach, cancel };

async function main(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      address: { type: "string", default: "unix:///run/container-builder/container-builder.sock" },
      ca: { type: "string" }, // use TLS; PEM of the authority that signed the service's certificate
    },
  });
  const [name = "", context, tag, file = ""] = positionals;
  const command = positionals.length === (name === "export" ? 4 : 3) ? commands[name] : undefined;
  // The token is from the environment: arguments are there for every user of the machine to see.
  const client = connect(values.address!, values.ca, process.env["CONTAINER_BUILDER_TOKEN"]);
  try {
    if (name === "health") return await health(client);
    if (command) return await command(client, context!, tag!, file);
    throw new Error(
      "usage: [--address=A] [--ca=FILE] health | args|build|upload|detach|cancel CONTEXT TAG | export CONTEXT TAG FILE",
    );
  } finally {
    client.close();
  }
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (error instanceof Error && "code" in error && "metadata" in error) showError(error as ServiceError);
  else console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

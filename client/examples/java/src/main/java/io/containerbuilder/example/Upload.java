package io.containerbuilder.example;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import io.containerbuilder.v1.BlobDigest;
import io.containerbuilder.v1.ContainerBuilderGrpc;
import io.containerbuilder.v1.ContainerBuilderGrpc.ContainerBuilderBlockingStub;
import io.containerbuilder.v1.Directory;
import io.containerbuilder.v1.FindMissingBlobsRequest;
import io.containerbuilder.v1.FindMissingBlobsResponse.MissingBlob;
import io.containerbuilder.v1.UploadBlobsRequest;
import io.grpc.StatusException;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** What was sent of a folder; `contextDigest` is for BuildSpec. */
record Upload(String contextDigest, int blobs, int uploadedBlobs, long uploadedBytes) {
  private static final int PIECE_BYTES = 1 << 20;

  /** Sends what the service lacks of a folder. */
  static Upload of(ContainerBuilderBlockingStub stub, Path folder)
      throws IOException, InterruptedException, StatusException {
    Tree tree = new Tree();
    BlobDigest root = tree.addFolder(folder);
    // At most 10,000 a call: larger contexts ask several times.
    List<MissingBlob> missing = stub
        .findMissingBlobs(FindMissingBlobsRequest.newBuilder().addAllBlobs(tree.blobs.values()).build())
        .getMissingBlobsList();
    long bytes = 0;
    if (!missing.isEmpty()) {
      // `write` waits for as long as the service does not take more.
      var call = ClientCalls.blockingClientStreamingCall(
          stub.getChannel(), ContainerBuilderGrpc.getUploadBlobsMethod(), stub.getCallOptions());
      for (MissingBlob blob : missing) {
        tree.send(blob, call::write);
      }
      call.halfClose();
      bytes = call.read().getReceivedBytes();
    }
    return new Upload(root.getDigest(), tree.blobs.size(), missing.size(), bytes);
  }

  @FunctionalInterface
  private interface Writer {
    boolean write(UploadBlobsRequest piece) throws InterruptedException, StatusException;
  }

  @FunctionalInterface
  private interface Source {
    InputStream open() throws IOException;
  }

  /**
   * A folder as contents by their digests, so that only those are sent that the service lacks. `.dockerignore` is the
   * service's to apply. Java reads names as the locale says: have one with UTF-8.
   */
  private static final class Tree {
    final Map<String, BlobDigest> blobs = new LinkedHashMap<>();
    private final Map<String, Source> sources = new LinkedHashMap<>();

    BlobDigest addFolder(Path folder) throws IOException {
      // Sorted by the bytes of their names, so that the same folder is the same Directory.
      Map<ByteString, Path> entries = new TreeMap<>(ByteString.unsignedLexicographicalComparator());
      try (Stream<Path> paths = Files.list(folder)) {
        paths.forEach(path -> entries.put(ByteString.copyFromUtf8(path.getFileName().toString()), path));
      }
      Directory.Builder directory = Directory.newBuilder();
      for (var entry : entries.entrySet()) {
        ByteString name = entry.getKey();
        Path path = entry.getValue();
        var attributes = Files.readAttributes(path, "unix:mode,lastModifiedTime", LinkOption.NOFOLLOW_LINKS);
        int mode = (Integer) attributes.get("mode") & 0777;
        Instant time = ((FileTime) attributes.get("lastModifiedTime")).toInstant();
        Timestamp modifyTime =
            Timestamp.newBuilder().setSeconds(time.getEpochSecond()).setNanos(time.getNano()).build();
        if (Files.isSymbolicLink(path)) {
          ByteString target = ByteString.copyFromUtf8(Files.readSymbolicLink(path).toString());
          directory.addSymlinksBuilder().setName(name).setTarget(target).setModifyTime(modifyTime);
        } else if (Files.isDirectory(path)) {
          directory.addDirectoriesBuilder()
              .setName(name).setBlob(addFolder(path)).setMode(mode).setModifyTime(modifyTime);
        } else if (Files.isRegularFile(path)) {
          directory.addFilesBuilder()
              .setName(name).setBlob(add(() -> Files.newInputStream(path))).setMode(mode).setModifyTime(modifyTime);
        }
      }
      ByteString content = directory.build().toByteString();
      return add(content::newInput);
    }

    /** Sends one content from where the service has it; the first piece says which it is. */
    void send(MissingBlob missing, Writer writer) throws IOException, InterruptedException, StatusException {
      long offset = missing.getCommittedBytes();
      try (InputStream input = sources.get(missing.getBlob().getDigest()).open()) {
        input.skipNBytes(offset);
        byte[] data = input.readNBytes(PIECE_BYTES);
        // That of an empty content is all there is.
        var piece = UploadBlobsRequest.newBuilder().setBlob(missing.getBlob());
        do {
          writer.write(piece.setOffset(offset).setData(ByteString.copyFrom(data)).build());
          offset += data.length;
          piece = UploadBlobsRequest.newBuilder();
          data = input.readNBytes(PIECE_BYTES);
        } while (data.length > 0);
      }
    }

    private BlobDigest add(Source source) throws IOException {
      MessageDigest sha256;
      try {
        sha256 = MessageDigest.getInstance("SHA-256");
      } catch (NoSuchAlgorithmException impossible) {
        throw new AssertionError(impossible); // each Java has it
      }
      long size;
      try (InputStream input = source.open();
          OutputStream hash = new DigestOutputStream(OutputStream.nullOutputStream(), sha256)) {
        size = input.transferTo(hash);
      }
      String digest = "sha256:" + HexFormat.of().formatHex(sha256.digest());
      BlobDigest blob = BlobDigest.newBuilder().setDigest(digest).setSizeBytes(size).build();
      blobs.put(digest, blob);
      sources.put(digest, source);
      return blob;
    }
  }
}

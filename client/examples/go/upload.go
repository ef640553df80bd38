package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "containerbuilder/client/examples/go/gen/containerbuilderv1"
)

const pieceBytes = 1 << 20

// tree is a folder as contents by their digests, so that only those are sent
// that the service lacks. `.dockerignore` is the service's to apply.
type tree struct {
	blobs []*pb.BlobDigest
	open  map[string]func() (io.ReadSeekCloser, error)
}

func (t *tree) add(sha []byte, size int64, open func() (io.ReadSeekCloser, error)) *pb.BlobDigest {
	blob := &pb.BlobDigest{Digest: fmt.Sprintf("sha256:%x", sha), SizeBytes: size}
	if _, known := t.open[blob.Digest]; !known {
		t.blobs = append(t.blobs, blob)
		t.open[blob.Digest] = open
	}
	return blob
}

func (t *tree) addFile(path string) (*pb.BlobDigest, error) {
	open := func() (io.ReadSeekCloser, error) { return os.Open(path) }
	file, err := open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return nil, err
	}
	return t.add(hash.Sum(nil), size, open), nil
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (t *tree) addFolder(folder string) (*pb.BlobDigest, error) {
	// Sorted by the bytes of their names, so that the same folder is the same Directory.
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	directory := &pb.Directory{}
	for _, entry := range entries {
		path, name := filepath.Join(folder, entry.Name()), []byte(entry.Name())
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		mode, time := uint32(info.Mode().Perm()), timestamppb.New(info.ModTime())
		switch info.Mode().Type() {
		case 0:
			blob, err := t.addFile(path)
			if err != nil {
				return nil, err
			}
			directory.Files = append(directory.Files,
				&pb.Directory_File{Name: name, Blob: blob, Mode: mode, ModifyTime: time})
		case os.ModeDir:
			blob, err := t.addFolder(path)
			if err != nil {
				return nil, err
			}
			directory.Directories = append(directory.Directories,
				&pb.Directory_Subdirectory{Name: name, Blob: blob, Mode: mode, ModifyTime: time})
		case os.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return nil, err
			}
			directory.Symlinks = append(directory.Symlinks,
				&pb.Directory_Symlink{Name: name, Target: []byte(target), ModifyTime: time})
		}
	}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(directory)
	if err != nil {
		return nil, err
	}
	sha := sha256.Sum256(content)
	return t.add(sha[:], int64(len(content)), func() (io.ReadSeekCloser, error) {
		return inMemory{bytes.NewReader(content)}, nil
	}), nil
}

// send sends one content from where the service has it; the first piece says
// which it is, and that of an empty one is all there is.
func (t *tree) send(missing *pb.FindMissingBlobsResponse_MissingBlob, send func(*pb.UploadBlobsRequest) error) error {
	blob, offset := missing.Blob, missing.CommittedBytes
	file, err := t.open[blob.Digest]()
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	data := make([]byte, pieceBytes)
	for first := true; ; first = false {
		size, err := io.ReadFull(file, data)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if size == 0 && !first {
			return nil
		}
		piece := &pb.UploadBlobsRequest{Offset: offset, Data: data[:size]}
		if first {
			piece.Blob = blob
		}
		if err := send(piece); err != nil {
			return err
		}
		offset += int64(size)
	}
}

// uploadFolder sends what the service lacks of a folder. It answers the digest
// for BuildSpec.context_digest.
func (c client) uploadFolder(ctx context.Context, folder string) (string, error) {
	t := tree{open: map[string]func() (io.ReadSeekCloser, error){}}
	root, err := t.addFolder(folder)
	if err != nil {
		return "", err
	}
	// At most 10,000 a call: larger contexts ask several times.
	found, err := c.FindMissingBlobs(ctx, &pb.FindMissingBlobsRequest{Blobs: t.blobs})
	if err != nil {
		return "", err
	}
	uploaded := int64(0)
	if len(found.MissingBlobs) > 0 {
		stream, err := c.UploadBlobs(ctx)
		if err != nil {
			return "", err
		}
		for _, missing := range found.MissingBlobs {
			// EOF: the call ended, and CloseAndRecv tells how.
			if err := t.send(missing, stream.Send); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return "", err
			}
		}
		answer, err := stream.CloseAndRecv()
		if err != nil {
			return "", err
		}
		uploaded = answer.ReceivedBytes
	}
	show(line{
		"context_digest": root.Digest, "blobs": len(t.blobs),
		"uploaded_blobs": len(found.MissingBlobs), "uploaded_bytes": uploaded,
	})
	return root.Digest, nil
}

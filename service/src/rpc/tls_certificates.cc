#include "rpc/tls_certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/limits.h"
#include "base/small_file.h"
#include "base/status_macros.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"

namespace containerbuilder::service {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* value) const {
    Free(value);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;

Bio Open(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

absl::Status Wrong(absl::string_view setting, const std::string& path,
                   absl::string_view what) {
  // Nobody else reads this thread's errors.
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat(setting, "=", path, ": ", what));
}

// Wrong now, with the same bytes good at another time.
absl::Status Untimely(absl::string_view setting, const std::string& path,
                      absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(setting, "=", path, ": ", what));
}

// OpenSSL asks on the terminal for the password of an encrypted key otherwise.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/,
               void* /*unused*/) {
  return -1;
}

// All certificates of a file are read, so that none is cut off.
absl::Status CheckCertificates(absl::string_view setting,
                               const std::string& path, const std::string& pem,
                               absl::Time now, Certificate& first) {
  const Bio bio = Open(pem);
  for (;;) {
    Certificate next(
        PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
    if (next == nullptr) break;
    std::time_t at = absl::ToTimeT(now);
    if (first == nullptr) {
      if (X509_cmp_time(X509_get0_notAfter(next.get()), &at) <= 0) {
        return Untimely(setting, path, "the certificate has expired");
      }
      if (X509_cmp_time(X509_get0_notBefore(next.get()), &at) > 0) {
        return Untimely(setting, path, "the certificate is not valid yet");
      }
      first = std::move(next);
    }
  }
  // OpenSSL takes one that is cut off within its first line for text.
  const std::size_t end = pem.find('\n', pem.rfind("-----END "));
  if (first == nullptr ||
      ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE ||
      (end != std::string::npos && absl::StrContains(pem.substr(end), "\n-"))) {
    return Wrong(setting, path,
                 "not certificates in PEM, or only half of them");
  }
  ERR_clear_error();
  return absl::OkStatus();
}

absl::Status Check(const TlsCertificates::Files& files,
                   const TlsCertificates::Pem& pem, absl::Time now) {
  ERR_clear_error();
  Certificate certificate;
  CONTAINERBUILDER_RETURN_IF_ERROR(
      CheckCertificates("--tls_cert", files.cert, pem.cert, now, certificate));
  const Bio bio = Open(pem.key);
  const PrivateKey key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    return Wrong("--tls_key", files.key,
                 "not a private key in PEM without a password");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Wrong("--tls_key", files.key,
                 absl::StrCat("is not the key of --tls_cert=", files.cert));
  }
  // gRPC would go on with the last one, and tell nobody.
  const Context context(SSL_CTX_new(TLS_method()));
  if (context == nullptr ||
      SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    const char* const why = ERR_reason_error_string(ERR_peek_last_error());
    return Wrong("--tls_cert", files.cert,
                 absl::StrCat("OpenSSL takes no such certificate: ",
                              why == nullptr ? "it does not say why" : why));
  }
  if (!files.client_ca.empty()) {
    Certificate authority;
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckCertificates(
        "--tls_client_ca", files.client_ca, pem.client_ca, now, authority));
  }
  return absl::OkStatus();
}

absl::StatusOr<TlsCertificates::Pem> Read(const TlsCertificates::Files& files) {
  TlsCertificates::Pem pem;
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      pem.cert, ReadSmallFile("--tls_cert", files.cert, FileReaders::kAnybody));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      pem.key, ReadSmallFile("--tls_key", files.key, FileReaders::kOwner));
  if (!files.client_ca.empty()) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        pem.client_ca, ReadSmallFile("--tls_client_ca", files.client_ca,
                                     FileReaders::kAnybody));
  }
  return pem;
}

// What one listener of gRPC was given last.
struct Fetcher {
  std::shared_ptr<const TlsCertificates> certificates;
  absl::Mutex mutex;
  std::uint64_t generation ABSL_GUARDED_BY(mutex) = 0;
};

grpc_ssl_certificate_config_reload_status Fetch(
    void* user_data, grpc_ssl_server_certificate_config** config) {
  Fetcher& fetcher = *static_cast<Fetcher*>(user_data);
  absl::MutexLock lock(&fetcher.mutex);
  const std::uint64_t before = fetcher.generation;
  const TlsCertificates::Pem pem =
      fetcher.certificates->Current(fetcher.generation);
  if (fetcher.generation == before) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const grpc_ssl_pem_key_cert_pair pair = {pem.key.c_str(), pem.cert.c_str()};
  // gRPC takes no null for the authorities. Where clients are asked for nothing
  // any others do.
  const std::string& authorities =
      pem.client_ca.empty() ? pem.cert : pem.client_ca;
  *config =
      grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// gRPC's C++ has no server credentials whose certificates change by the word of
// the program, its C has: FileWatcherCertificateProvider of 1.51 hands on a
// certificate without its key.
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(
      std::shared_ptr<const TlsCertificates> certificates,
      grpc_ssl_client_certificate_request_type clients) {
    fetcher_.certificates = std::move(certificates);
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            clients, Fetch, &fetcher_));
  }
  ~ReloadingCredentials() override {
    grpc_server_credentials_release(credentials_);
  }

  // There is none: callers are told apart where calls are answered.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*none*/) override {}

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  Fetcher fetcher_;
  grpc_server_credentials* credentials_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<TlsCertificates>> TlsCertificates::Load(
    Files files, absl::Time now) {
  auto certificates = absl::WrapUnique(new TlsCertificates(std::move(files)));
  CONTAINERBUILDER_RETURN_IF_ERROR(certificates->Reload(now).status());
  return std::shared_ptr<TlsCertificates>(std::move(certificates));
}

absl::StatusOr<bool> TlsCertificates::Reload(absl::Time now) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Pem pem, Read(files_));
  absl::MutexLock lock(&mutex_);
  if (pem == tried_) return false;
  const absl::Status checked = Check(files_, pem, now);
  // A clock that is wrong is set right, and then the same bytes will do.
  if (!absl::IsFailedPrecondition(checked)) tried_ = pem;
  CONTAINERBUILDER_RETURN_IF_ERROR(checked);
  current_ = std::move(pem);
  ++generation_;
  return true;
}

TlsCertificates::Pem TlsCertificates::Current(std::uint64_t& generation) const {
  absl::MutexLock lock(&mutex_);
  generation = generation_;
  return current_;
}

std::shared_ptr<grpc::ServerCredentials> TlsCertificates::MakeCredentials(
    std::shared_ptr<const TlsCertificates> certificates) {
  std::uint64_t generation = 0;
  const bool asks = !certificates->Current(generation).client_ca.empty();
  return std::make_shared<ReloadingCredentials>(
      std::move(certificates),
      asks ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
           : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
}

}  // namespace containerbuilder::service

#include "rpc/tls_certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::IsOkAndHolds;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::HasSubstr;

const absl::Time kNoon = absl::FromUnixSeconds(1'900'000'000);

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free_all(bio);
  return text;
}

class TlsCertificatesTest : public testing::Test {
 protected:
  // A pair that is good from `begin` to `end`, in the place of what was there.
  void Write(absl::Time begin, absl::Time end,
             EVP_PKEY* key = EVP_EC_gen("P-256")) {
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(begin));
    ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(end));
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    folder_.WriteFile("cert", Text(bio));
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    folder_.WriteFile("key", Text(bio), 0600);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  void Load() {
    Write(kNoon - absl::Hours(48), kNoon + absl::Hours(48));
    auto loaded = TlsCertificates::Load(
        {folder_.Path("cert"), folder_.Path("key"), ""}, kNoon);
    ASSERT_THAT(loaded, IsOk());
    certificates_ = *loaded;
  }
  std::uint64_t Generation() const {
    std::uint64_t generation = 0;
    certificates_->Current(generation);
    return generation;
  }

  const TempDir folder_;
  std::shared_ptr<TlsCertificates> certificates_;

 private:
  int serial_ = 0;
};

TEST_F(TlsCertificatesTest, OneThatIsNotValidYetIsTakenWhenItIs) {
  Load();
  Write(kNoon + absl::Hours(1), kNoon + absl::Hours(48));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(certificates_->Reload(kNoon).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("not valid yet")));
  }
  EXPECT_EQ(Generation(), 1U);
  EXPECT_THAT(certificates_->Reload(kNoon + absl::Hours(2)),
              IsOkAndHolds(true));
  EXPECT_EQ(Generation(), 2U);
}

TEST_F(TlsCertificatesTest, OneThatExpiredByAWrongClockIsTakenByTheRightOne) {
  Load();
  Write(kNoon - absl::Hours(1), kNoon + absl::Hours(48));
  EXPECT_THAT(
      certificates_->Reload(kNoon + absl::Hours(72)).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
  EXPECT_THAT(certificates_->Reload(kNoon), IsOkAndHolds(true));
}

TEST_F(TlsCertificatesTest, WhatIsInUseStaysWhenTheClockJumps) {
  Load();
  EXPECT_THAT(certificates_->Reload(kNoon + absl::Hours(72)),
              IsOkAndHolds(false));
  EXPECT_EQ(Generation(), 1U);
}

TEST_F(TlsCertificatesTest, OneThatIsTooWeakForTlsIsTold) {
  Load();
  Write(kNoon - absl::Hours(1), kNoon + absl::Hours(48), EVP_RSA_gen(1024));
  EXPECT_THAT(certificates_->Reload(kNoon).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ee key too small")));
  EXPECT_EQ(Generation(), 1U);
}

TEST_F(TlsCertificatesTest, WhatIsWrongAtAnyTimeIsToldOnce) {
  Load();
  folder_.WriteFile("cert", "rubbish");
  EXPECT_THAT(certificates_->Reload(kNoon).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(certificates_->Reload(kNoon), IsOkAndHolds(false));
  EXPECT_EQ(Generation(), 1U);
}

}  // namespace
}  // namespace containerbuilder::service

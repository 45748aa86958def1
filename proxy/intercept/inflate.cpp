#include "proxy/intercept/inflate.hpp"

#define ZLIB_CONST  // zlib reads its input without changing it
#include <zlib.h>

#include <array>
#include <string>
#include <utility>

namespace nono::intercept {

namespace {

constexpr int window_bits = 15;
constexpr int gzip_bits = window_bits + 16;
constexpr char gzip_magic = '\x1f';

tl::unexpected<Error> bad_body(std::string what) {
  return fail(ErrorCode::bad_response, std::move(what), {}, Side::upstream);
}

class Inflater final : public http::BodyFilter {
 public:
  Inflater(Coding coding, std::unique_ptr<http::BodyFilter> next)
      : next_(std::move(next)), coding_(coding) {}
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() override {
    if (state_ != State::unopened) inflateEnd(&stream_);
  }

  Result<void> feed(std::string_view in, std::string& out) override {
    if (state_ == State::unopened) {
      head_ += in;
      if (coding_ == Coding::deflate && head_.size() < 2) return {};  // two bytes tell the flavour
      if (head_.empty()) return {};
      auto opened = open();
      if (!opened) return opened;
      const std::string first = std::exchange(head_, {});
      return decode(first, out);
    }
    return decode(in, out);
  }

  Result<void> finish(std::string& out) override {
    const bool nothing_came = state_ == State::unopened && head_.empty();
    if (!nothing_came && state_ != State::ended && state_ != State::trailing) {
      return bad_body("the compressed response ends in the middle");
    }
    return next_->finish(out);
  }

 private:
  enum class State : std::uint8_t { unopened, running, ended, trailing };

  Result<void> open() {
    int bits = gzip_bits;
    if (coding_ == Coding::deflate) {
      const auto first = static_cast<unsigned char>(head_[0]);
      const auto second = static_cast<unsigned char>(head_[1]);
      const bool zlib = (first & 15) == Z_DEFLATED && (first * 256U + second) % 31 == 0;
      bits = zlib ? window_bits : -window_bits;
    }
    if (inflateInit2(&stream_, bits) != Z_OK) {
      return fail(ErrorCode::internal, "no memory to decompress a response");
    }
    state_ = State::running;
    return {};
  }

  Result<void> decode(std::string_view in, std::string& out) {
    if (state_ == State::trailing) return {};
    stream_.next_in = reinterpret_cast<const Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    std::array<char, 16 * 1024> plain;
    do {
      if (state_ == State::ended) {
        // Another member may follow; anything else behind the end is not content, nor is what
        // follows it.
        if (stream_.avail_in == 0) return {};
        const bool member =
            coding_ == Coding::gzip && static_cast<char>(*stream_.next_in) == gzip_magic;
        if (!member) {
          state_ = State::trailing;
          return {};
        }
        inflateReset(&stream_);
        state_ = State::running;
      }
      stream_.next_out = reinterpret_cast<Bytef*>(plain.data());
      stream_.avail_out = static_cast<uInt>(plain.size());
      const int result = inflate(&stream_, Z_SYNC_FLUSH);
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return bad_body("the compressed response does not decompress");
      }
      if (result == Z_STREAM_END) state_ = State::ended;
      const std::size_t produced = plain.size() - stream_.avail_out;
      auto passed = next_->feed(std::string_view(plain.data(), produced), out);
      if (!passed) return passed;
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
    return {};
  }

  std::unique_ptr<http::BodyFilter> next_;
  Coding coding_;
  State state_ = State::unopened;
  std::string head_;
  z_stream stream_{};
};

}  // namespace

std::unique_ptr<http::BodyFilter> make_inflater(Coding coding,
                                                std::unique_ptr<http::BodyFilter> next) {
  return std::make_unique<Inflater>(coding, std::move(next));
}

}  // namespace nono::intercept

// ceil(3) for libstdc++'s hash tables, which take nothing else from libm: loading that library is a
// fortieth of what a launch costs. Linked where libstdc++ is an archive.

namespace {

constexpr double rounded_up(double value) {
  // From 2^52 on every value is whole; NaN is no number, and stays that.
  constexpr double whole_from = 0x1p52;
  if (!(value > -whole_from && value < whole_from)) return value;
  const auto towards_zero = static_cast<double>(static_cast<long long>(value));
  const double up = towards_zero < value ? towards_zero + 1 : towards_zero;
  return __builtin_copysign(up, value);  // -0.5 becomes -0
}

static_assert(rounded_up(2.0) == 2 && rounded_up(2.25) == 3 && rounded_up(0x1p-1074) == 1);
static_assert(rounded_up(-2.0) == -2 && rounded_up(-2.25) == -2 && rounded_up(0) == 0);
static_assert(__builtin_bit_cast(unsigned long long, rounded_up(-0.5)) == 1ULL << 63);
static_assert(rounded_up(0x1p52 - 0.5) == 0x1p52 && rounded_up(-0x1p60) == -0x1p60);
static_assert(rounded_up(__builtin_inf()) == __builtin_inf());
static_assert(!(rounded_up(__builtin_nan("")) <= 0) && !(rounded_up(__builtin_nan("")) > 0));

}  // namespace

extern "C" double ceil(double value) {
  return rounded_up(value);
}

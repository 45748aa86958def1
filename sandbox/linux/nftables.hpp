#pragma once
// Messages for nf_tables(8) over netlink, as far as redirecting needs them: a batch that holds as a
// whole or not at all.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace nono::sandbox {

// Writes netlink attributes, nested ones by begin() and end().
class AttributeWriter {
 public:
  explicit AttributeWriter(std::vector<std::byte>& out) : out_(out) {}
  void bytes(std::uint16_t type, std::span<const std::byte> value);
  void text(std::uint16_t type, std::string_view value);  // with its NUL
  void number(std::uint16_t type, std::uint32_t value);   // in network order, as nf_tables has it
  std::size_t begin(std::uint16_t type);
  void end(std::size_t place);

 private:
  std::vector<std::byte>& out_;
};

// One rule's expressions, in their order. Registers are of 16 bytes, numbered from 1.
class RuleWriter {
 public:
  RuleWriter(std::vector<std::byte>& out, std::string_view table, std::string_view chain);
  void load_meta(std::uint32_t key);
  enum class Header : std::uint32_t { network = 1, transport = 2 };
  void load_packet(Header header, std::uint32_t offset, std::uint32_t size);
  void mask(std::span<const std::byte> mask);
  // Goes on only where the first register is, or is not, this value.
  void only_if(std::span<const std::byte> value);
  void only_if_not(std::span<const std::byte> value);
  // To a transparent listener of this address and port.
  void tproxy(std::uint32_t family, std::span<const std::byte> address, std::uint16_t port);
  void finish();

 private:
  void compare(std::uint32_t operation, std::span<const std::byte> value);
  void load(std::uint32_t to_register, std::span<const std::byte> value);
  std::size_t begin(std::string_view name);  // an expression's data
  void end(std::size_t data);

  AttributeWriter attributes_;
  std::size_t list_;
  std::size_t element_ = 0;
};

// A table and one chain of it, on packets that have come in and were not routed yet.
class NftBatch {
 public:
  explicit NftBatch(std::string_view table);
  void add_table();
  void delete_table();
  void add_chain(std::string_view chain);
  // `write` gets a RuleWriter.
  template <class Write>
  void add_rule(std::string_view chain, Write write) {
    const std::size_t place = begin_rule();
    RuleWriter rule(message_, table_, chain);
    write(rule);
    rule.finish();
    end(place);
  }
  // Sends all of it; returns an errno, 0 for success.
  int commit();

 private:
  std::size_t begin(std::uint16_t type, std::uint16_t flags, std::uint8_t family,
                    std::uint16_t resource);
  std::size_t begin_rule();
  void end(std::size_t place);

  std::string_view table_;
  std::vector<std::byte> message_;
  std::uint32_t sequence_ = 0;
  int acknowledged_ = 0;  // messages that the kernel will answer
};

}  // namespace nono::sandbox

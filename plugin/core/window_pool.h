// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "plugin/core/config.h"
#include "plugin/core/window.h"

namespace dp::core {

// The windows that can be handed out: the pool of the configuration, cut into windows of one size.
class WindowPool {
 public:
  // `pool` is valid: on the granule, not empty, and at least one window fits.
  explicit WindowPool(Pool pool);

  // A free window, in use from now on. The search goes on behind the one taken last, so that a
  // window is handed out again as late as possible: a doorbell address in a fault record of the
  // SMMU then tells whose it was. Empty: none is free.
  std::optional<Window> Take();

  // Marks a window as in use that was found in the kernel. It need not be one of ours, as after a
  // change of the configuration: whatever it overlaps is not handed out. Nests.
  void Claim(Window window);
  // Undoes Take() or one Claim().
  void Release(Window window);

  // Whether any part of the window lies in the pool.
  [[nodiscard]] bool Overlaps(Window window) const;
  [[nodiscard]] std::size_t size() const { return users_.size(); }
  [[nodiscard]] std::size_t free() const;
  [[nodiscard]] const Pool& pool() const { return pool_; }

 private:
  struct Range {
    std::size_t first = 0;
    std::size_t last = 0;  // exclusive
  };
  [[nodiscard]] Range Cells(Window window) const;

  Pool pool_;
  std::vector<std::uint32_t> users_;  // of each window of the pool
  std::size_t next_ = 0;
};

}  // namespace dp::core

// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/window_pool.h"

#include <algorithm>
#include <limits>

namespace dp::core {

WindowPool::WindowPool(Pool pool)
    : pool_(pool), users_((pool.end - pool.start) / pool.window_size) {}

std::optional<Window> WindowPool::Take() {
  for (std::size_t tried = 0; tried < users_.size(); ++tried) {
    const std::size_t cell = next_;
    next_ = (next_ + 1) % users_.size();
    if (users_[cell] != 0) continue;
    ++users_[cell];
    return Window{.base = pool_.start + cell * pool_.window_size, .size = pool_.window_size};
  }
  return std::nullopt;
}

void WindowPool::Claim(Window window) {
  const Range range = Cells(window);
  for (std::size_t cell = range.first; cell < range.last; ++cell) ++users_[cell];
}

void WindowPool::Release(Window window) {
  const Range range = Cells(window);
  for (std::size_t cell = range.first; cell < range.last; ++cell) --users_[cell];
}

std::size_t WindowPool::free() const {
  return static_cast<std::size_t>(std::count(users_.begin(), users_.end(), 0U));
}

bool WindowPool::Overlaps(Window window) const {
  const Range range = Cells(window);
  return range.first < range.last;
}

WindowPool::Range WindowPool::Cells(Window window) const {
  const std::uint64_t pool_end = pool_.start + users_.size() * pool_.window_size;
  const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - window.base;
  const std::uint64_t end = std::min(window.base + std::min(window.size, room), pool_end);
  const std::uint64_t base = std::max(window.base, pool_.start);
  if (base >= end) return {};
  return {.first = (base - pool_.start) / pool_.window_size,
          .last = (end - pool_.start + pool_.window_size - 1) / pool_.window_size};
}

}  // namespace dp::core

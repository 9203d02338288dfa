# SPDX-License-Identifier: Apache-2.0
#
# What the checks that build kernels share. They build in the tree itself, so that
# ccache sees the paths that kernel/build has. Sourced, never run.
# shellcheck shell=bash disable=SC2154

declare -A cross_compile=([arm64]=aarch64-linux-gnu- [arm]=arm-linux-gnueabihf- [x86_64]="")

# use_architecture ARCH: which one kernel_make builds for.
use_architecture() {
  architecture=$1
  compiler=${cross_compile[$1]}gcc
  command -v "$compiler" >/dev/null || fail "$compiler is missing (scripts/install-deps)"
}

kernel_make() {
  CCACHE_DIR=$cache_dir/ccache CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1 \
    nice -n 5 make --directory="$tree" --jobs="$(nproc)" --silent ARCH="$architecture" \
    CROSS_COMPILE="${cross_compile[$architecture]}" CC="ccache $compiler" LOCALVERSION= "$@" </dev/null
}

# Away with what another configuration has left: no object may be older than it looks.
clean_tree() { git_in "$tree" clean --quiet -ffdx; }

# configure FRAGMENT...: the configuration that the fragments ask for, and nothing else.
configure() {
  local dropped
  cat "$@" >"$logs/all.config"
  run_logged "$logs/config.log" kernel_make KCONFIG_ALLCONFIG="$logs/all.config" allnoconfig
  dropped=$(dropped_options "$tree/.config" "$@")
  [[ -z $dropped ]] || fail "the configuration does not come out with: $dropped"
}

# logged_make LOG TARGET...: as kernel_make, but what it says goes to LOG; its end is shown if it fails.
logged_make() {
  local log=$1
  shift
  kernel_make "$@" >"$log" 2>&1 || {
    tail -n 20 "$log"
    echo "(the whole output is in $log)"
    return 1
  }
}

# The objects of the kernel that the series touches and that exist (as a source file or as an object).
# $1: o for those that have been built, c for all that can be.
touched_objects() {
  local source
  while read -r source; do
    [[ ! -e $tree/${source%c}$1 ]] || printf '%s\n' "${source%c}o"
  done < <(touched '*.c' ':!tools' ':!samples' ':!Documentation')
}

# warn_about LOG OBJECT...: builds the objects anew, and what W=1 and sparse say of them goes to LOG.
warn_about() {
  local log=$1
  shift
  # Unchanged objects are made again, or they would say nothing.
  (cd "$tree" && rm -f "$@")
  logged_make "$log" W=1 C=2 CHECK="$("$kernel_dir/sparse" "${base_option[@]}" 2>&3)" "$@"
  # A sparse that the kernel does not take is left out, and make goes on.
  ! grep 'C=2 specified, but ' "$log"
}

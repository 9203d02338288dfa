# SPDX-License-Identifier: Apache-2.0
#
# What the commands beside this file share: the base, the cache and messages.
# Sourced without arguments, never run: it takes "--base BASE" off the front of
# the command's own. Without that the base is the one of kernel/BASE.
# shellcheck shell=bash

kernel_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=${VFIO_DOORBELL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-doorbell}
base_file=$kernel_dir/BASE
# shellcheck source=BASE
source "$base_file"

# Results go to stdout, everything a person reads goes to stderr.
say() { printf '%s %4ds  %s\n' "${0##*/}:" "$SECONDS" "$*" >&2; }

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# base_option: the arguments that make another command here use the same base.
# base_named: whether the command was told which one, even if it is the one of kernel/BASE.
base_option=()
base_named=false
if [[ ${1:-} == --base ]]; then
  base_named=true
  if [[ ${2:-} != "$BASE_SERIES" ]]; then
    base_file=$kernel_dir/BASE-${2:-}
    [[ -r $base_file ]] || fail "there is no base \"${2:-}\": $base_file does not exist"
    # shellcheck source=BASE-7.2
    source "$base_file"
    base_option=(--base "$2")
  fi
  shift 2
fi
patch_dir=$kernel_dir/patches/$BASE_SERIES

# The configuration of the tests' kernel: what all bases know, and what only this one does.
fragments=("$kernel_dir"/config/*.config "$kernel_dir/config/$BASE_SERIES"/*.config)

# dropped_options CONFIG FRAGMENT...: prints what the fragments ask for and CONFIG does not have:
# Kconfig drops what it does not know or cannot have, without a word.
dropped_options() {
  local config=$1 wanted dropped=()
  shift
  while read -r wanted; do
    if [[ $wanted == *=n ]]; then
      ! grep -q "^${wanted%=n}=" "$config" || dropped+=("$wanted")
    else
      grep -qxF "$wanted" "$config" || dropped+=("$wanted")
    fi
  done < <(grep --no-filename '^CONFIG_' "$@")
  printf '%s' "${dropped[*]}"
}

# Sets `patches` to the paths of the patches, in the order in which they apply.
read_series() {
  local name names
  patches=()
  [[ -r $patch_dir/series ]] || fail "$patch_dir/series is missing"
  mapfile -t names <"$patch_dir/series"
  for name in "${names[@]}"; do
    [[ -r $patch_dir/$name ]] || fail "$patch_dir/series names $name, which does not exist"
    patches+=("$patch_dir/$name")
  done
}

# Prints what the patches change, without the messages that explain it and the
# hashes of blobs: a better sentence in a commit message does not make another kernel.
series_changes() {
  local patch
  for patch in "${patches[@]}"; do sed -n '/^diff --git /,/^-- $/{/^index /!p}' "$patch"; done
}

# recipients TREE PATCH...: who is to get the patches, one a line, as the tree's get_maintainer.pl
# says. The base is one commit: nobody can be named for what the history says, only for what
# MAINTAINERS says, and the user's own defaults for the script do not count.
recipients() {
  local dir=$1 patch patches=()
  shift
  for patch in "$@"; do patches+=("$(realpath "$patch")"); done
  (cd "$dir" && HOME=/nonexistent scripts/get_maintainer.pl --no-git --no-git-fallback --no-fixes --no-rolestats "${patches[@]}")
}

# git_in DIR ARGUMENT...: git as everybody has it, whatever the user's own settings, so
# that commits and patches come out the same everywhere.
git_in() {
  local dir=$1
  shift
  # No gc: packing a tree of 80,000 files takes a minute of both cores, for a repository that is soon made anew.
  GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -C "$dir" -c gc.auto=0 -c maintenance.auto=false "$@"
}

# hash_of: a short key for stdin.
hash_of() { sha256sum | cut -c1-16; }

# run_logged LOG COMMAND...: the output goes to LOG, and its end is shown if the command fails.
run_logged() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 && return
  tail -n 30 "$log" >&2
  fail "failed: $* (the whole output is in $log)"
}

# A base of another Debian release is not installed: kernel/fetch puts it into the cache.
have_base() {
  # Its output is not the caller's.
  [[ -z ${BASE_SUITE:-} || -r $BASE_TARBALL ]] || "$kernel_dir/fetch" "${base_option[@]}" >/dev/null
}

installed_version() {
  if [[ -n ${BASE_SUITE:-} ]]; then
    cat "${BASE_TARBALL%/*}/version"
  else
    dpkg-query --show --showformat='${Version}' "$BASE_PACKAGE"
  fi
}

# Whether the source of this machine is the one that the base's file pins.
base_is_exact() { sha256sum --check --status <<<"$BASE_SHA256  $BASE_TARBALL"; }

# unpack_base DIR: the base's files in DIR, which must not exist yet.
unpack_base() {
  local dir=$1
  [[ ! -e $dir ]] || fail "$dir exists already"
  have_base
  [[ -r $BASE_TARBALL ]] ||
    fail "$BASE_TARBALL is missing: install Debian's $BASE_PACKAGE $BASE_VERSION (scripts/install-deps)"
  # Debian replaces the package by its next point release, and then a fresh machine can have no other.
  base_is_exact || say "note: this is $BASE_PACKAGE $(installed_version), not the $BASE_VERSION that kernel/${base_file##*/} pins"
  mkdir -p "$dir"
  tar -C "$dir" --strip-components=1 -xf "$BASE_TARBALL"
}

# keep_series_tree LOG: sets `tree` to a repository with the series applied. It is kept in the
# cache, since most runs have changed something else. What kernel/apply says goes to LOG.
keep_series_tree() {
  local log=$1 unfinished
  tree=$cache_dir/kernel/series-$BASE_SERIES-$(cat "$base_file" "${patches[@]}" | hash_of)
  unfinished=$tree.unfinished
  [[ ! -d $tree ]] || return 0
  rm -rf "$cache_dir/kernel/series-$BASE_SERIES"-*
  "$kernel_dir/apply" "${base_option[@]}" "$unfinished" 2>"$log" || return
  mv "$unfinished" "$tree"
}

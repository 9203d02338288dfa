# SPDX-License-Identifier: Apache-2.0
#
# What the checks beside this file share: counting, the tree with the series in
# it, and how two outputs of a tool are compared. Sourced, never run; it takes
# "--base BASE" off the front of the check's arguments, of which there are no other.
# shellcheck shell=bash

# shellcheck source=../common.bash
source "${BASH_SOURCE[0]%/*}/../common.bash"

case ${1:-} in
  "") ;;
  --help | -h)
    sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *) fail "unknown argument: $1 (kernel/checks/${0##*/} [--base BASE])" ;;
esac

# Everything a check writes stays here until it runs again.
logs=${kernel_dir%/*}/build/kernel-check/$BASE_SERIES/${0##*/}
rm -rf "$logs"
mkdir -p "$logs"

# Where progress goes, also from within a check, whose own output is what it has found.
exec 3>&2
passed=0
failed=0

# check NAME COMMAND...: one check, which has passed if COMMAND succeeds and finds nothing to say.
check() {
  local name=$1 output status
  shift
  # Outside of any condition, so that COMMAND stops at its first error.
  set +e
  output=$(
    set -e
    "$@" 2>&1
  )
  status=$?
  set -e
  if [[ $status -eq 0 && -z $output ]]; then
    printf 'ok - %s\n' "$name"
    passed=$((passed + 1))
  else
    printf 'not ok - %s\n%s\n' "$name" "${output:-it ended with $status}" | sed '2,$s/^/# /'
    failed=$((failed + 1))
  fi
}

# finish: the last line of a check, and its exit code.
finish() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [[ $failed -eq 0 ]]
  exit
}

# For tools that say by an exit code of 1 that they have found something, or nothing.
one_is_fine() { "$@" || [[ $? -eq 1 ]]; }

# need_tree: sets `tree` to a repository with the series applied, which no other check uses meanwhile.
need_tree() {
  mkdir -p "$cache_dir/kernel"
  exec 9>"$cache_dir/kernel/check.lock"
  flock --nonblock 9 || {
    say "waiting for another check" 2>&3
    flock 9
  }
  keep_series_tree "$logs/apply.log" || fail "the series does not apply: $(tail -n +2 "$logs/apply.log")"
  check_out series
}

check_out() { git_in "$tree" checkout --quiet "$1"; }

# touched PATHSPEC...: the files of the series that match.
touched() { git_in "$tree" diff --name-only base series -- "$@"; }

# each_commit: "<commit> <subject>" of every patch, in order.
each_commit() { git_in "$tree" log --reverse --format='%H %s' base..series; }

# added_findings BEFORE AFTER: lines of AFTER that are not in BEFORE, line numbers aside.
added_findings() {
  local number='s/[:#][0-9]+(:[0-9]+)?[:, ]/:/g; s/^ *[0-9]* \|/|/'
  comm -13 <(sed -E "$number" "$1" | sort) <(sed -E "$number" "$2" | sort)
}

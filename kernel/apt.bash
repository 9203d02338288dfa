# SPDX-License-Identifier: Apache-2.0
#
# An APT beside the machine's own, for packages of another Debian release or
# architecture: its sources, lists and state lie in a directory of the caller, and
# the machine's stay as they are. Sourced after common.bash.
# shellcheck shell=bash

# own_apt DIR SUITE ARCHITECTURE [TYPE]: sets up the APT in DIR, reads the lists, and
# exports APT_CONFIG, so that every apt-get and apt-cache after it is this one. An empty
# SUITE stands for the machine's own suites, an empty ARCHITECTURE for the machine's own.
# TYPE is deb, for packages that are built, or deb-src.
own_apt() {
  # shellcheck disable=SC2016 # APT expands these
  local dir=$1 suite=$2 architecture=$3 type=${4:-deb} filter='Origin: Debian' entry='$(SITE) $(RELEASE) $(COMPONENT)'
  # Of what the machine trusts already, only the suite is another. Security updates have a site of
  # their own, with a label of its own, and not every suite.
  if [[ -n $suite ]]; then
    filter='Label: Debian'
    entry="\$(SITE) $suite main"
  fi
  mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/apt/none"
  touch "$dir/apt/status"
  apt-get indextargets --format "$type $entry" 'Created-By: Packages' "$filter" | sort --unique >"$dir/apt/sources.list"
  [[ -s $dir/apt/sources.list ]] || fail "this machine's APT knows no Debian packages: run apt-get update"
  {
    # The machine's way to the mirrors (proxies) is kept; its hooks are not.
    apt-config dump Acquire
    [[ -z $architecture ]] || printf 'APT::Architecture "%s";\nAPT::Architectures { "%s"; };\n' "$architecture" "$architecture"
    cat <<CONFIGURATION
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "$dir/apt";
Dir::State::status "$dir/apt/status";
Dir::Cache "$dir/apt";
Dir::Etc::main "$dir/apt/none";
Dir::Etc::parts "$dir/apt/none";
Dir::Etc::preferences "$dir/apt/none";
Dir::Etc::preferencesparts "$dir/apt/none";
Dir::Etc::sourcelist "$dir/apt/sources.list";
Dir::Etc::sourceparts "$dir/apt/none";
CONFIGURATION
  } >"$dir/apt.conf"
  export APT_CONFIG=$dir/apt.conf LC_ALL=C.UTF-8
  run_logged "$dir/update.log" apt-get update --error-on=any
}

# newest_version PACKAGE: prints what this APT would install, nothing if it knows no such package.
newest_version() { apt-cache --no-all-versions show "$1" 2>/dev/null | sed -n 's/^Version: //p' || true; }

# from_debian PLACE SUITE PACKAGE...: the arm64 packages' files in the directory PLACE, and a file "version"
# with the version of the first. An empty SUITE is the machine's own. What is there already is not asked for again.
from_debian() {
  local place=$1 suite=$2 apt package
  shift 2
  [[ ! -d $place ]] || return 0
  say "asking Debian for the arm64 packages $*"
  apt=$(mktemp -d)
  mkdir -p "${place%/*}" "$apt/result"
  (
    own_apt "$apt" "$suite" arm64
    cd "$apt"
    for package; do
      [[ -n $(newest_version "$package") ]] || fail "Debian has no package $package for arm64"
      run_logged "$apt/download.log" apt-get download "$package"
    done
    newest_version "$1" >result/version
    for package in ./*.deb; do dpkg-deb --extract "$package" result; done
  )
  # Somebody else may have been faster, with the same result.
  mv --no-target-directory "$apt/result" "$place" 2>/dev/null || [[ -d $place ]]
  rm -rf "$apt"
}

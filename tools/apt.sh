# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Debian packages through a private apt configuration; sourced after lib.sh.
#
# Source list and package lists live in build/setup/apt, so the machine's own
# apt sources stay as they are; only their mirror is used.

setup=$build/setup
log=$setup/setup.log
apt_conf=$setup/apt/apt.conf

# logged WHAT SECONDS COMMAND...: output goes to the log, an error shows its tail, and while it lasts the
# log's last line is shown now and then.
logged() {
	local what=$1 seconds=$2 rc=0 started=$SECONDS ticker
	shift 2
	own_build
	mkdir -p "$setup"
	{ printf '\n== %s: %s\n' "$(date '+%F %T')" "$what" && printf '%q ' "$@" && echo; } >>"$log"
	# Without the lock: a service that a package starts would keep it.
	ticker "$what" "$log" >/dev/null </dev/null 9>&- &
	ticker=$!
	timeout --foreground -k 30 "$seconds" "$@" >>"$log" 2>&1 </dev/null 9>&- || rc=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	((rc == 0)) && return
	((rc == 124)) && echo "no end after $seconds s" >>"$log"
	tail -n 8 "$log" | sed 's/^/  | /' >&2
	return "$rc"
}

codename() { (. /etc/os-release && echo "${VERSION_CODENAME:-sid}"); }

# Debian's own repositories among the machine's: "URI CODENAME" per line. Fails
# if the lists, which name the origin, are not there for every repository.
debian_targets() {
	# shellcheck disable=SC2016 # apt's variables
	apt-get "$@" indextargets --format '$(ORIGIN)|$(COMPONENT)|$(REPO_URI)|$(CODENAME)' \
		'Created-By: Packages' 2>>"$log" |
		awk -F'|' '$1 == "" { unread = 1 }
			$1 == "Debian" && $2 == "main" && !seen[$3, $4]++ { print $3, $4 }
			END { exit unread }'
}

# Writes the private configuration and fetches its package lists (no root).
apt_ready=${SETUP_APT_READY-}
apt_prepare() {
	[[ -n $apt_ready ]] && return
	have apt-get || die "this machine has no apt: install by hand $*"
	local name targets mirror key='' extra
	name=$(codename)
	mkdir -p "$setup/apt/lists/partial" "$setup/apt/cache/archives/partial" "$setup/apt/own/partial"
	if ! targets=$(debian_targets) || [[ -z $targets ]]; then
		# A fresh machine has no lists yet.
		say "reading the machine's package lists"
		logged "update with the machine's sources" 300 apt-get -q \
			-o Dir::State::Lists="$setup/apt/own" -o Dir::Cache="$setup/apt/cache" \
			-o Acquire::Retries=2 -o Acquire::http::Timeout=30 update ||
			warn "apt reported errors (see $log); going on with what it got"
		targets=$(debian_targets -o Dir::State::Lists="$setup/apt/own" -o Dir::Cache="$setup/apt/cache") || true
	fi
	mirror=$(awk -v n="$name" '$2 == n { print $1; exit }' <<<"$targets")
	[[ -n $mirror ]] ||
		die "found no Debian mirror for '$name' in the machine's apt sources (see $log): install by hand $*"

	if [[ -r /usr/share/keyrings/debian-archive-keyring.gpg ]]; then
		key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] '
	fi
	{
		awk -v k="$key" 'NF == 2 { print "deb " k $1, $2, "main" }' <<<"$targets"
		case $name in
		bookworm | trixie) echo "deb $key$mirror $name-backports main" ;;
		esac
		# The sources of TF-A and QEMU: from trixie, whatever runs here, so all build the same.
		echo "deb-src $key$mirror trixie main"
	} | sort -u >"$setup/apt/sources.list"
	# Archives go where the machine keeps them: root's files in build/ would
	# be in the way of `make clean`.
	for extra in 'Dir::Etc::SourceList "'"$setup"'/apt/sources.list";' \
		'Dir::Etc::SourceParts "/dev/null";' \
		'Dir::State::Lists "'"$setup"'/apt/lists";' \
		'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' \
		'Acquire::Languages "none";' 'Acquire::Retries "2";' \
		'Acquire::http::Timeout "30";' 'Acquire::https::Timeout "30";' \
		'DPkg::Lock::Timeout "300";' 'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";'; do
		echo "$extra"
	done >"$apt_conf"
	# Without root, apt cannot drop to its own user, and as root that user may
	# not see this folder.
	if ((EUID == 0)); then echo 'APT::Sandbox::User "root";' >>"$apt_conf"; fi

	say "reading Debian's package lists"
	logged "update" 300 apt-get -q -c "$apt_conf" -o APT::Update::Error-Mode=any update ||
		die "cannot read Debian's package lists (no network?); log: $log"
	apt_ready=1
}

# apt_install WHY PACKAGE...: as root, by sudo if need be; never removes anything.
apt_install() {
	local why=$1 as_root=() cmd
	shift
	say "installing $* ($why)"
	cmd=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -c "$apt_conf"
		--no-install-recommends --no-remove install "$@")
	if ((EUID != 0)); then
		have sudo ||
			die "not root and no sudo; run as root, then try again: $(quoted "${cmd[@]}")"
		say "this needs root: asking sudo"
		# Without a terminal a question for a password would have no answer.
		local ask=(-n)
		[[ -t 0 ]] && ask=()
		timeout --foreground 300 sudo "${ask[@]}" -v ||
			die "sudo refused; run as root, then try again: $(quoted "${cmd[@]}")"
		as_root=(sudo "${ask[@]}")
	fi
	logged "install $*" 3600 "${as_root[@]}" "${cmd[@]}" ||
		die "installing failed: $*; log: $log"
}

# apt_versions PACKAGE [backports]: what a plain install would take, or what backports has.
apt_versions() {
	local out
	if [[ ${2-} ]]; then
		out=$(apt-cache -c "$apt_conf" madison "$1" 2>>"$log") || return 1
		awk '/-backports\// { print $3; exit }' <<<"$out"
	else
		out=$(apt-cache -c "$apt_conf" policy "$1" 2>>"$log") || return 1
		awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }' <<<"$out"
	fi
}

# intact_source FOLDER NAME: sets `dsc`; the files that NAME*.dsc lists are all there, with the right contents.
intact_source() {
	# The folder may have characters that a pattern gives a meaning.
	dsc=$(cd "$1" 2>/dev/null && compgen -G "$2*.dsc") || return 1
	dsc=$1/${dsc%%$'\n'*}
	(cd "$1" && awk '/^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 } on { print $1 "  " $3 }' "$dsc" |
		sha256sum --check --quiet --strict) >/dev/null 2>&1
}

# fetch_source PACKAGE FOLDER HINT: FOLDER becomes what Debian's source package consists of; sets `dsc`.
fetch_source() {
	local part=$2.part
	say "fetching the source of $1"
	rm -rf "$part"
	mkdir -p "$part"
	(cd "$part" && logged "source of $1" 900 \
		apt-get -q -c "$apt_conf" source --only-source --download-only "$1") ||
		die "cannot fetch the source package $1; log: $log ($3)"
	rm -rf "$2"
	mv "$part" "$2"
	intact_source "$2" "$1" || die "$2 has no intact source package $1 ($3)"
}

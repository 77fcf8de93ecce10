#!/usr/bin/env bash
# Installs what Debian or Ubuntu must have to build and test Callboard. Changes nothing that is
# already there, so it may be run any number of times.
#
#   scripts/setup-dev.sh              C compilers, make, OpenSSL, git, the Rust toolchain, and what
#                                     the tests run beside: Java and Maven for Kafka and Keycloak,
#                                     PostgreSQL, and node and npm for another identity provider
#   scripts/setup-dev.sh --coverage   also what `cargo xtask coverage` and `cargo xtask deny` need
#
# The crates that carry C code bring their sources. aws-lc-sys, libsqlite3-sys and zstd-sys build
# them with the C compiler alone; rdkafka-sys also needs make, a C++ compiler, pkg-config and the
# system's OpenSSL.
#
# Debian 13 and Ubuntu 24.04 have everything. Debian 12 has no package of rustup, and Ubuntu 22.04
# none of PostgreSQL 15 and node 18 either: there this script says what to install by other means.
set -euo pipefail

cd "$(dirname "$0")/.."

say() { printf 'setup-dev: %s\n' "$*"; }
fail() { printf 'setup-dev: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "needs root to run: $*"
    fi
}

# Whether the distribution has the given package. Without apt it has none.
packaged() {
    has apt-get && as_root apt-get update -qq &&
        # To the end, or apt-cache fails for want of a reader.
        apt-cache policy "$1" | grep 'Candidate: [^(]' >/dev/null
}

# Installs the given packages of the distribution.
install_packages() {
    has apt-get || fail "this is not Debian or Ubuntu; please install by other means: $*"
    say "installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# Whether `cc` can build a program: the compiler alone is not enough without the C library.
compiles_c() {
    has cc && echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null
}

# The same with C++.
compiles_cxx() {
    has c++ && echo 'int main() { return 0; }' | c++ -x c++ -o /dev/null - 2>/dev/null
}

# Whether OpenSSL can be linked with.
has_openssl() {
    has pkg-config && pkg-config --atleast-version=3 openssl
}

# The Rust version that the workspace is built with.
rust_needed=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

# Whether that version, or without rustup any later one, can be started here.
has_rust() {
    local found
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) && has cargo &&
        [ "$(printf '%s\n' "$rust_needed" "$found" | sort -V | head -n 1)" = "$rust_needed" ]
}

install_rust() {
    if ! has rustup && packaged rustup; then
        install_packages rustup
    fi
    has rustup || fail "Rust $rust_needed is missing, and this distribution has no package of" \
        "rustup: install it as https://rustup.rs says, then run this script again"
    say "installing Rust $rust_needed"
    rustup toolchain install "$rust_needed" --profile minimal \
        --component rustfmt --component clippy
}

install_coverage() {
    local llvm
    llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    # The tools must read the counters that rustc's own LLVM writes: same major version.
    if ! [ -x "/usr/lib/llvm-$llvm/bin/llvm-cov" ]; then
        if packaged "llvm-$llvm"; then
            install_packages "llvm-$llvm"
        else
            rustup component add llvm-tools
        fi
    fi
    has cargo-llvm-cov || cargo install --locked cargo-llvm-cov
    has cargo-deny || cargo install --locked cargo-deny
}

# Whether Java is there, and recent enough for Kafka's brokers.
has_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') && [ "${version:-0}" -ge 17 ]
}

# The package of the first Java that the distribution has and that is recent enough.
java_package() {
    local version
    for version in 21 17 25; do
        if packaged "openjdk-$version-jre-headless"; then
            echo "openjdk-$version-jre-headless"
            return
        fi
    done
    fail "Java 17 or later is missing, and this distribution has no package of it"
}

# Whether a PostgreSQL server is installed that is recent enough, as Debian's packages do it or as
# `pg_config` tells.
has_postgres() {
    local initdb version
    for initdb in /usr/lib/postgresql/*/bin/initdb "$(pg_config --bindir 2>/dev/null)/initdb"; do
        version=$("$initdb" --version 2>/dev/null | sed -n 's/^[^)]*) \([0-9]*\).*/\1/p')
        [ "${version:-0}" -lt "$postgres_needed" ] || return 0
    done
    return 1
}

# The package $1 with what is called $2, unless the distribution's major version of it is below $3:
# $4 is what to do then.
recent_package() {
    local version
    version=$(as_root apt-get update -qq && apt-cache policy "$1" |
        sed -n 's/.*Candidate: \([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge "$3" ] || fail "$2 $3 or later is missing, and this distribution has" \
        "${version:-none}: $4"
    echo "$1"
}

# The oldest major version of PostgreSQL that the tests run beside.
postgres_needed=15

# Whether node is there, and recent enough for the identity provider that runs in it.
has_node() {
    local version
    version=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p') &&
        [ "${version:-0}" -ge "$node_needed" ]
}

# The oldest major version of node that the tests run beside.
node_needed=18

missing=()
compiles_c || missing+=(gcc libc6-dev)
compiles_cxx || missing+=(g++)
has make || missing+=(make)
has_openssl || missing+=(pkg-config libssl-dev)
has git || missing+=(git)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
has_java || missing+=("$(java_package)")
has mvn || missing+=(maven)
has_postgres || missing+=("$(recent_package postgresql PostgreSQL "$postgres_needed" \
    'install it by other means')")
has_node || missing+=("$(recent_package nodejs node "$node_needed" \
    'install it with npm by other means')")
has npm || missing+=(npm)
# It starts the tests' services so that they end with the tests.
has setpriv || missing+=(util-linux)
if [ ${#missing[@]} -gt 0 ]; then
    install_packages "${missing[@]}"
fi
has_rust || install_rust
if [ "${1:-}" = --coverage ]; then
    install_coverage
fi
say "everything is here"

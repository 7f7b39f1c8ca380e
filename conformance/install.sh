#!/usr/bin/env bash
# Installs what the conformance tests need, at pinned versions, into the
# checkout's cache folder: the AWS command line, boto3, the SDKs for JavaScript and
# Rust, and the runtime client for Python. Compilers (gcc, cargo, a JDK with Maven), curl, Node.js and Python
# itself come from the machine; on Debian and Ubuntu, as root, what is missing is
# installed.
set -euo pipefail
cd "$(dirname "$0")"
cache=$PWD/../.cache/conformance
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

have() { command -v "$1" >/dev/null 2>&1; }

missing=()
have curl || missing+=(curl)
have gcc || missing+=(gcc libc6-dev)
have python3 || missing+=(python3)
if have python3; then python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv); else missing+=(python3-venv); fi
python3 -c 'import pip' 2>/dev/null || missing+=(python3-pip)
have node && have npm || missing+=(nodejs npm)
have cargo || missing+=(cargo)
have javac && have jlink || missing+=(openjdk-17-jdk-headless)
have mvn || missing+=(maven)
if ((${#missing[@]})); then
  if [[ $(id -u) != 0 ]] || ! have apt-get; then
    echo "conformance needs ${missing[*]}; install them and run this again" >&2
    exit 1
  fi
  apt-get update -qq </dev/null
  # Debian 12 has a newer cargo beside its own, which its browsers are built with.
  if ! have cargo && apt-cache show cargo-web >/dev/null 2>&1; then missing=("${missing[@]/%cargo/cargo-web}"); fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" </dev/null
fi

# A distribution's cargo may be too old for lambda_runtime.
rust=$(cargo --version | cut -d' ' -f2)
if [[ $(printf '%s\n' "$rust" 1.85.0 | sort -V | head -1) != 1.85.0 ]]; then
  echo "conformance needs cargo 1.85 or newer, and here is $rust; https://rustup.rs has it" >&2
  exit 1
fi

# What the apps' packages and AWS's SDK ask for.
node=$(node --version)
if [[ $(printf '%s\n' "${node#v}" 20.9.0 | sort -V | head -1) != 20.9.0 ]]; then
  echo "conformance needs Node.js 20.9 or newer, and here is $node; https://nodejs.org has it" >&2
  exit 1
fi

# The AWS command line and boto3, in an environment of their own.
clients=$PWD/clients.txt
if ! cmp -s "$clients" "$cache/clients/installed.txt"; then
  rm -rf "$cache/clients"
  python3 -m venv "$cache/clients"
  "$cache/clients/bin/python" -m pip install --quiet --disable-pip-version-check -r "$clients"
  cp "$clients" "$cache/clients/installed.txt"
fi

# The cases that AWS publishes for its protocols, of the version that the models
# are of: they are in botocore's source, and not in what is installed of it.
botocore=$(sed -n 's/.*"botocore": "\(.*\)".*/\1/p' ../internal/aws/models/models.json)
if [[ $(cat "$cache/protocols/version" 2>/dev/null) != "$botocore" ]]; then
  rm -rf "$cache/protocols" "$cache/source"
  "$cache/clients/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary botocore --dest "$cache/source" "botocore==$botocore"
  mkdir "$cache/protocols"
  tar -xzf "$cache/source/botocore-$botocore.tar.gz" -C "$cache/protocols" --strip-components=4 "botocore-$botocore/tests/unit/protocols"
  rm -rf "$cache/source"
  echo "$botocore" >"$cache/protocols/version"
fi

# The runtime client for Python: what goes into an artifact, beside a Python.
runtime=$PWD/testdata/python/requirements.txt
if ! cmp -s "$runtime" "$cache/python/installed.txt"; then
  rm -rf "$cache/python"
  "$cache/clients/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$cache/python" -r "$runtime"
  cp "$runtime" "$cache/python/installed.txt"
fi

# The SDK for JavaScript.
if ! cmp -s testdata/identities/node/package-lock.json "$cache/identities/installed.json"; then
  rm -rf "$cache/identities"
  mkdir "$cache/identities"
  cp testdata/identities/node/package*.json "$cache/identities"
  (cd "$cache/identities" && npm ci --no-audit --no-fund --loglevel=error </dev/null)
  cp "$cache/identities/package-lock.json" "$cache/identities/installed.json"
fi

# The runtime client for Node.js. Its native part is built from source, which
# takes minutes and may fail: then what needs it is skipped, and says so.
runtime=$PWD/testdata/vendor/node/package.json
if have npm && ! cmp -s "$runtime" "$cache/node/package.json"; then
  rm -rf "$cache/node"
  mkdir "$cache/node"
  cp "$runtime" "$cache/node/package.json"
  if [[ $(id -u) = 0 ]] && have apt-get; then
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends autoconf automake libtool pkg-config cmake make g++ </dev/null || true
  fi
  (cd "$cache/node" && npm install --no-audit --no-fund --loglevel=error </dev/null) ||
    { echo "aws-lambda-ric does not build here: it is not compared with" >&2; rm -rf "$cache/node/node_modules"; }
fi

# Crates are fetched once, so that the tests themselves build from the cache. The
# SDK for Rust is built here: that takes minutes, which are no test's.
(cd testdata/rust && CARGO_TARGET_DIR="$cache/rust" cargo fetch --locked --quiet)
(cd testdata/identities/rust && CARGO_TARGET_DIR="$cache/rust-sdk" cargo build --locked --quiet)

# Maven keeps what it fetches below the home folder.
(cd ../examples/java && mvn --quiet --batch-mode package)

go mod download

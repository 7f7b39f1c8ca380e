#!/bin/sh
# Builds the starter for both processors and notes how, in starter.txt.
# Needs gcc and gcc-aarch64-linux-gnu (Debian's names).
#
#	sh starter/build.sh [OUTPUT FOLDER]
set -eu
here=$(dirname "$0")
out=${1:-$here}

flags="-nostdlib -static -no-pie -fno-pie -Os -std=c11 -Wall -Wextra -Werror
	-ffreestanding -fno-builtin -fno-ident -fno-stack-protector
	-fno-asynchronous-unwind-tables -fno-unwind-tables
	-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,noexecstack -s"

{
	echo "Made by starter/build.sh from start.c; do not edit."
	echo "source $(sha256sum <"$here/start.c" | cut -d' ' -f1)"
} >"$out/starter.txt"
for target in amd64:${CC_AMD64:-x86_64-linux-gnu-gcc} arm64:${CC_ARM64:-aarch64-linux-gnu-gcc}; do
	arch=${target%%:*} cc=${target#*:}
	# shellcheck disable=SC2086
	"$cc" $flags -o "$out/starter_$arch.bin" "$here/start.c"
	chmod 0644 "$out/starter_$arch.bin"
	{
		echo "$arch compiler $("$cc" --version | head -n 1)"
		echo "$arch linker $("$cc" -Wl,--version -nostdlib 2>/dev/null | head -n 1)"
		echo "$arch image $(sha256sum <"$out/starter_$arch.bin" | cut -d' ' -f1)"
	} >>"$out/starter.txt"
done

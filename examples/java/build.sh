#!/bin/sh
# Builds the folder function/, which gust deploy packs: the handler's and the
# vendor's jars, a Java of just the modules that they use, and the bootstrap that
# starts it. It needs a JDK 17 or newer and Maven, for the processor and the C
# library (glibc) of the node.
set -eu
cd "$(dirname "$0")"

mvn --quiet --batch-mode package
rm -rf function
mkdir -p function
cp -R target/lib function/lib
cp bootstrap function/bootstrap

# Elliptic curves, which TLS needs, are found by name; no class refers to them.
modules=$(jdeps --multi-release 17 --ignore-missing-deps --print-module-deps --class-path 'target/lib/*' target/lib/*.jar),jdk.crypto.ec
jlink --add-modules "$modules" --strip-java-debug-attributes --no-man-pages --no-header-files --compress=2 --output target/jre-$$
# An artifact has no links, and jlink's legal notices are some.
cp -RL target/jre-$$ function/jre
rm -rf target/jre-$$
# The classes of the JDK as they are in memory, which makes for a faster start.
function/jre/bin/java -Xshare:dump >/dev/null

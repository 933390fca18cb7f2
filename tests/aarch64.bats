#!/usr/bin/env bats
# The CPU backend compiles for AArch64.

load helpers

@test "the CPU backend compiles for AArch64 without a warning" {
	compiler=aarch64-linux-gnu-gcc
	command -v $compiler >/dev/null || skip "$compiler is missing: Debian's gcc-aarch64-linux-gnu"
	cd "$top"
	for source in lib/nn/cpu/*.c; do
		# oneDNN's headers are the same for all processors; the C library's are the compiler's.
		$compiler -std=c11 -Wall -Wextra -Werror -O1 -fopenmp -fno-math-errno -fno-trapping-math -ffp-contract=fast \
			-D_POSIX_C_SOURCE=200809L -Ilib -idirafter /usr/include -c "$source" -o "$BATS_TEST_TMPDIR/object.o"
	done
}

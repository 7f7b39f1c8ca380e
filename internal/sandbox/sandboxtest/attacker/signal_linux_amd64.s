#include "textflag.h"

// func fault()
TEXT ·fault(SB), NOSPLIT, $0-0
	XORQ AX, AX
	MOVQ AX, 0(AX)
	RET

// func int80(nr uint32) int32
TEXT ·int80(SB), NOSPLIT, $0-12
	MOVL nr+0(FP), AX
	XORL BX, BX
	XORL CX, CX
	XORL DX, DX
	INT  $0x80
	MOVL AX, ret+8(FP)
	RET

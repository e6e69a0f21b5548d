#include "textflag.h"

// The rounds of AES but for the last, with the schedule in AX.
#define ROUNDS \
	VAESENC 16(AX), X0, X0  \
	VAESENC 32(AX), X0, X0  \
	VAESENC 48(AX), X0, X0  \
	VAESENC 64(AX), X0, X0  \
	VAESENC 80(AX), X0, X0  \
	VAESENC 96(AX), X0, X0  \
	VAESENC 112(AX), X0, X0 \
	VAESENC 128(AX), X0, X0 \
	VAESENC 144(AX), X0, X0

// func chain(s *schedule, st *state, b *block)
TEXT ·chain(SB), NOSPLIT, $0-24
	MOVQ  s+0(FP), AX
	MOVQ  st+8(FP), BX
	MOVQ  b+16(FP), SI
	VMOVDQU (BX), X0
	VMOVDQU (SI), X1
	VPXOR X1, X0, X0
	ROUNDS
	VAESENCLAST 176(AX), X0, X0
	VMOVDQU X0, (BX)
	RET

// func finish(s *schedule, st *state, text *byte, n int) (first, second uint64)
TEXT ·finish(SB), NOSPLIT, $0-48
	MOVQ  s+0(FP), AX
	MOVQ  st+8(FP), BX
	MOVQ  text+16(FP), SI
	MOVQ  n+24(FP), CX
	VMOVDQU (BX), X0
	CMPQ  CX, $16
	JLT   short
	JEQ   whole

next:
	VMOVDQU (SI), X1
	VPXOR X1, X0, X0
	ROUNDS
	VAESENCLAST 176(AX), X0, X0
	ADDQ  $16, SI
	SUBQ  $16, CX
	CMPQ  CX, $16
	JGT   next
	JEQ   whole

	// 1 to 15 bytes are left, with others before them.
	VMOVDQU -16(SI)(CX*1), X1
	LEAQ  ·toFront+16(SB), DX
	SUBQ  CX, DX
	VMOVDQU (DX), X2
	VPSHUFB X2, X1, X1

padded:
	LEAQ  ·padding+16(SB), DX
	SUBQ  CX, DX
	VMOVDQU (DX), X2
	VPXOR X2, X1, X1
	VPXOR 208(AX), X1, X1
	JMP   last

whole:
	VMOVDQU (SI), X1
	VPXOR 192(AX), X1, X1

last:
	VPXOR X1, X0, X0
	ROUNDS
	VAESENCLAST 160(AX), X0, X0
	VMOVQ  X0, R8
	VMOVHPS X0, second+40(FP)
	TESTB  R8, R8
	JEQ    untagged
	MOVQ   R8, first+32(FP)
	RET

untagged:
	// No fingerprint has the tag 0.
	INCQ R8
	MOVQ R8, first+32(FP)
	RET

short:
	VPXOR X1, X1, X1
	CMPQ  CX, $8
	JGE   eight
	CMPQ  CX, $4
	JGE   four
	TESTQ CX, CX
	JEQ   padded

	// One to three bytes: the first, the one in the middle and the last.
	MOVBLZX (SI), R8
	MOVQ    CX, DX
	SHRQ    $1, DX
	MOVBLZX (SI)(DX*1), R9
	MOVBLZX -1(SI)(CX*1), R10
	MOVQ    CX, R11
	MOVQ    DX, CX
	SHLQ    $3, CX
	SHLQ    CX, R9
	ORQ     R9, R8
	LEAQ    -1(R11), CX
	SHLQ    $3, CX
	SHLQ    CX, R10
	ORQ     R10, R8
	MOVQ    R11, CX
	VMOVQ R8, X1
	JMP     padded

four:
	MOVL (SI), R8
	MOVL -4(SI)(CX*1), R9
	MOVQ CX, R11
	SUBQ $4, CX
	SHLQ $3, CX
	SHLQ CX, R9
	ORQ  R9, R8
	MOVQ R11, CX
	VMOVQ R8, X1
	JMP  padded

eight:
	VMOVQ (SI), X1
	MOVQ -8(SI)(CX*1), R9
	MOVQ CX, R11
	// Shifted out by 64 bits if nothing follows the eight bytes, in two steps, for a shift takes six bits.
	NEGQ CX
	ADDQ $15, CX
	SHLQ $3, CX
	SHRQ $8, R9
	SHRQ CX, R9
	MOVQ R11, CX
	VMOVQ R9, X2
	VPUNPCKLQDQ X2, X1, X1
	JMP  padded

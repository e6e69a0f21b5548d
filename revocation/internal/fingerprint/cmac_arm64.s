#include "textflag.h"

// The rows 1 to 13 of the schedule at R0 into V17 to V29, and 0 into V16, which is the first round's key: it is in the state already.
#define LOAD \
	VEOR V16.B16, V16.B16, V16.B16                          \
	ADD  $16, R0, R8                                        \
	VLD1.P 64(R8), [V17.B16, V18.B16, V19.B16, V20.B16]     \
	VLD1.P 64(R8), [V21.B16, V22.B16, V23.B16, V24.B16]     \
	VLD1.P 64(R8), [V25.B16, V26.B16, V27.B16, V28.B16]     \
	VLD1   (R8), [V29.B16]

// The rounds of AES on V0, but for the last key.
#define ROUNDS \
	AESE  V16.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V17.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V18.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V19.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V20.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V21.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V22.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V23.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V24.B16, V0.B16 \
	AESMC V0.B16, V0.B16  \
	AESE  V25.B16, V0.B16

// func chain(s *schedule, st *state, b *block)
TEXT ·chain(SB), NOSPLIT, $0-24
	MOVD s+0(FP), R0
	MOVD st+8(FP), R1
	MOVD b+16(FP), R2
	LOAD
	VLD1 (R1), [V0.B16]
	VLD1 (R2), [V1.B16]
	VEOR V1.B16, V0.B16, V0.B16
	ROUNDS
	VEOR V27.B16, V0.B16, V0.B16
	VST1 [V0.B16], (R1)
	RET

// func finish(s *schedule, st *state, text *byte, n int) (first, second uint64)
TEXT ·finish(SB), NOSPLIT, $0-48
	MOVD s+0(FP), R0
	MOVD st+8(FP), R1
	MOVD text+16(FP), R2
	MOVD n+24(FP), R3
	LOAD
	VLD1 (R1), [V0.B16]
	CMP  $16, R3
	BLT  short
	BEQ  whole

next:
	VLD1.P 16(R2), [V1.B16]
	VEOR   V1.B16, V0.B16, V0.B16
	ROUNDS
	VEOR   V27.B16, V0.B16, V0.B16
	SUB    $16, R3
	CMP    $16, R3
	BGT    next
	BEQ    whole

	// 1 to 15 bytes are left, with others before them.
	ADD  R3, R2, R4
	SUB  $16, R4
	VLD1 (R4), [V1.B16]
	MOVD $·toFront+16(SB), R5
	SUB  R3, R5
	VLD1 (R5), [V2.B16]
	VTBL V2.B16, [V1.B16], V1.B16

padded:
	MOVD $·padding+16(SB), R5
	SUB  R3, R5
	VLD1 (R5), [V2.B16]
	VEOR V2.B16, V1.B16, V1.B16
	VEOR V29.B16, V1.B16, V1.B16
	B    last

whole:
	VLD1 (R2), [V1.B16]
	VEOR V28.B16, V1.B16, V1.B16

last:
	VEOR V1.B16, V0.B16, V0.B16
	ROUNDS
	VEOR V26.B16, V0.B16, V0.B16
	VMOV V0.D[0], R6
	VMOV V0.D[1], R7
	MOVD R7, second+40(FP)
	TST  $255, R6
	BEQ  untagged
	MOVD R6, first+32(FP)
	RET

untagged:
	// No fingerprint has the tag 0.
	ADD  $1, R6
	MOVD R6, first+32(FP)
	RET

short:
	// Byte by byte, from the last, which becomes the highest.
	MOVD $0, R6
	MOVD $0, R7
	MOVD R3, R4
more:
	CBZ  R4, gathered
	SUB  $1, R4
	ADD  R4, R2, R5
	MOVBU (R5), R8
	EXTR $56, R6, R7, R7
	LSL  $8, R6
	ORR  R8, R6
	B    more
gathered:
	VMOV R6, V1.D[0]
	VMOV R7, V1.D[1]
	B    padded

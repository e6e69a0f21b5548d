//go:build amd64 || arm64

#include "textflag.h"

// Bytes 16-n to 31-n are what a shuffle of bytes needs to move the last n bytes of a block to its beginning, and to make the others 0.
DATA ·toFront+0(SB)/8, $0x0706050403020100
DATA ·toFront+8(SB)/8, $0x0f0e0d0c0b0a0908
DATA ·toFront+16(SB)/8, $0x8080808080808080
DATA ·toFront+24(SB)/8, $0x8080808080808080
GLOBL ·toFront(SB), RODATA|NOPTR, $32

// Bytes 16-n to 31-n have the bit after the end of a text of n bytes.
DATA ·padding+0(SB)/8, $0
DATA ·padding+8(SB)/8, $0
DATA ·padding+16(SB)/8, $0x80
DATA ·padding+24(SB)/8, $0
GLOBL ·padding(SB), RODATA|NOPTR, $32

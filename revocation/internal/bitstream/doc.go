// Package bitstream writes numbers of any width up to 64 bits one after the other, without gaps, and reads them again.
package bitstream

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/internal/signing"
)

// maxTokenBytes is far above what a receipt that names a thousand replicas takes.
const maxTokenBytes = 4 << 20

func newReceiptVerify(r *remote) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Verify a signed receipt, from a file or standard input, and show what it says",
		Long: `Verifies a receipt in its signed form, which 'curfew receipt show EVENT --token' prints. With --key it asks nobody: the file is what 'curfew receipt keys' printed when you kept it.
Without, the server tells the keys, and you take its word for them: it shows that the receipt wasn't changed, not that the server is honest.
Exit code 0 if the signature fits, 1 if not.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("give one file, or none for standard input")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return verifyReceipt(cmd, r, keyFile, args) },
	}
	r.addDataDir(cmd)
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the public keys, as curfew receipt keys prints them")
	return cmd
}

func verifyReceipt(cmd *cobra.Command, r *remote, keyFile string, args []string) error {
	token, err := readToken(cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	keys, err := publicKeys(cmd, r, keyFile)
	if err != nil {
		return err
	}
	payload, kid, err := signing.Verify(keys, receipts.Type, token)
	switch {
	case errors.Is(err, signing.ErrUnknownKey):
		return hinted{fmt.Errorf("the receipt isn't verified: %w", err), "is it of another deployment? 'curfew receipt keys' tells this one's"}
	case err != nil:
		return hinted{fmt.Errorf("the receipt isn't verified: %w", err), "get it again: curfew receipt show EVENT --token"}
	}
	var receipt receipts.Receipt
	if err := json.Unmarshal(payload, &receipt); err != nil {
		return errors.New("the receipt isn't verified: what is signed is no receipt of a form that this version knows")
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{"verified": true, "key": kid, "key_from_server": keyFile == "", "receipt": receipt})
	}
	source := "kept in " + keyFile
	if keyFile == "" {
		source = "told by the server, whose word this takes"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "verified: signed with key %s, %s\nevent %s at position %d, as of %s\n", kid, source, receipt.Event, receipt.Position, instant(receipt.Made))
	printReceipt(cmd.OutOrStdout(), receipts.AnswerOf(receipt))
	return nil
}

func readToken(stdin io.Reader, args []string) (string, error) {
	in := stdin
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return "", fmt.Errorf("read the receipt: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxTokenBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the receipt: %w", err)
	}
	if len(data) > maxTokenBytes {
		return "", usageError{errors.New("that is too large for a receipt")}
	}
	return strings.TrimSpace(string(data)), nil
}

// publicKeys reads the keys from a file, or asks the server for them.
func publicKeys(cmd *cobra.Command, r *remote, file string) (jose.JSONWebKeySet, error) {
	if file == "" {
		data, err := askKeys(cmd, r)
		if err != nil {
			return jose.JSONWebKeySet{}, err
		}
		return signing.ParsePublic(data)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("read the keys: %w", err)
	}
	keys, err := signing.ParsePublic(data)
	if err != nil {
		return keys, hinted{fmt.Errorf("read the keys: %w", err), "make the file with: curfew receipt keys > FILE"}
	}
	return keys, nil
}

func askKeys(cmd *cobra.Command, r *remote) (keys json.RawMessage, err error) {
	err = r.call(cmd, http.MethodGet, "/v1/receipts/keys", nil, &keys)
	return keys, err
}

func newReceiptKeys(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Print the public keys with which receipts and checkpoints are signed, to be kept elsewhere", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := askKeys(cmd, r)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), keys)
		},
	}
	r.addDataDir(cmd)
	return cmd
}

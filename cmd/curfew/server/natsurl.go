package server

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/curfewhq/curfew/internal/config"
)

// natsUser is the user of an embedded NATS that takes other processes, unless the configuration names one.
const natsUser = "curfew"

// natsURLPath is where serve writes how other processes reach the embedded ledger, with its password.
func natsURLPath(dataDir string) string { return filepath.Join(dataDir, "nats.url") }

// listenCredentials returns what the embedded NATS asks of other processes. Whoever connects could forge the ledger and read the deployment's
// secret, also from this machine, so there is always a password: the configured one, or one that is made at the first start and kept.
func listenCredentials(cfg config.Config) (user, password string, err error) {
	n := cfg.NATS
	switch {
	case n.Listen == "":
		return "", "", nil
	case n.ListenUser != "":
		password, err = readPassword(n.ListenPasswordFile)
		return n.ListenUser, password, err
	}
	if b, err := os.ReadFile(natsURLPath(cfg.DataDir)); err == nil {
		if u, err := url.Parse(strings.TrimSpace(string(b))); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok && u.User.Username() == natsUser {
				return natsUser, password, nil
			}
		}
	}
	fresh := make([]byte, 24)
	_, _ = rand.Read(fresh)
	return natsUser, hex.EncodeToString(fresh), nil
}

// writeNATSURL keeps a made password where only this user can read it, in the form in which a service uses it.
func (s *Server) writeNATSURL(user, password string) error {
	if s.cfg.NATS.Listen == "" || s.cfg.NATS.ListenUser != "" {
		return nil
	}
	u, err := url.Parse(s.bus.ClientURL())
	if err != nil {
		return fmt.Errorf("address of the embedded NATS: %w", err)
	}
	u.User = url.UserPassword(user, password)
	path := natsURLPath(s.cfg.DataDir)
	if err := writePrivate(path, u.String()+"\n"); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	s.natsURLFile = path
	return nil
}

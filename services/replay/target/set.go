package target

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/redisstore"
)

// Config says which targets a process can send to.
type Config struct {
	// JetStream reaches topics, gateways and replicas. It is required.
	JetStream jetstream.JetStream
	// Fleet is all gateways. It is required.
	Fleet *gateways.Fleet
	// WebhookKey is what secrets of webhooks are made of: 32 bytes, the deployment's own. It is required.
	WebhookKey []byte
	// WebhookNetworks are the networks beside the public ones that webhooks may lie in.
	WebhookNetworks []netip.Prefix
	// Folder is where files are written; empty allows none.
	Folder string
	// Redis takes streams; nil where there is none.
	Redis *redisstore.Streams
	// Group is the group of this deployment's replicas. Empty means curfew.
	Group string
}

// Set is all targets. It is safe for concurrent use.
type Set struct{ cfg Config }

// NewSet returns a set.
func NewSet(cfg Config) *Set {
	if cfg.Group == "" {
		cfg.Group = "curfew"
	}
	return &Set{cfg: cfg}
}

// Fault returns what is wrong with a target, by the name of its member in a request; nil if nothing is.
func (s *Set) Fault(spec Spec) *problem.Fault {
	given := map[Kind]struct{ member, value string }{
		KindTopic: {"topic", spec.Topic}, KindWebhook: {"url", spec.URL}, KindFile: {"name", spec.Name}, KindReplicas: {"group", spec.Group},
	}
	for _, kind := range []Kind{KindTopic, KindWebhook, KindFile, KindReplicas} {
		if other := given[kind]; other.value != "" && kind != spec.Kind {
			return &problem.Fault{Field: "target." + other.member, Detail: fmt.Sprintf("is for a target of kind %s: leave it out", kind)}
		}
	}
	member, detail := "kind", ""
	switch spec.Kind {
	case KindTopic:
		member, detail = "topic", topicFault(spec.Topic)
	case KindWebhook:
		member, detail = "url", s.urlFault(spec.URL)
	case KindFile:
		member, detail = s.fileFault(spec.Name)
	case KindRedis:
		if s.cfg.Redis == nil {
			detail = "there is no Redis here: start the processes with the role replay with --redis-url-file"
		}
	case KindTabs:
	case KindReplicas:
		if spec.Group != "" && !groupForm.MatchString(spec.Group) {
			member, detail = "group", "must be 1 to 63 of a-z, 0-9 and -"
		}
	default:
		detail = "isn't a target that there is: it must be one of " + kindNames
	}
	if detail == "" {
		return nil
	}
	return &problem.Fault{Field: "target." + member, Detail: detail}
}

func (s *Set) fileFault(name string) (member, detail string) {
	switch {
	case s.cfg.Folder == "":
		return "kind", "no files can be written here: start the processes with the role replay with --replay-folder"
	case name != "" && !fileForm.MatchString(name):
		return "name", "must be a file's name of at most 100 letters, digits, dots, dashes and underscores, and begin with a letter or digit; it is written to the server's replay_folder"
	case name != "":
		if _, err := os.Lstat(s.cfg.Folder + string(os.PathSeparator) + name); err == nil {
			return "name", "there is a file of that name: give another one"
		}
	}
	return "name", ""
}

// DefaultRate is how many events are sent in a second where nobody says how many.
func DefaultRate(kind Kind) int {
	switch kind {
	case KindWebhook:
		return 100
	case KindFile:
		return 100_000
	case KindTabs:
		return 1_000
	}
	return 10_000
}

// Open opens the target of a replay. from is the last checkpoint; nil at the beginning. It returns ErrBeginAnew where the checkpoint is of no use.
func (s *Set) Open(ctx context.Context, replay string, spec Spec, from *Checkpoint) (Target, error) {
	if from == nil {
		from = &Checkpoint{}
	}
	switch spec.Kind {
	case KindTopic:
		return openTopic(ctx, s.cfg.JetStream, replay, spec.Topic)
	case KindWebhook:
		return s.openWebhook(spec.URL), nil
	case KindFile:
		return openFile(s.cfg.Folder, replay, spec.Name, from)
	case KindRedis:
		if s.cfg.Redis == nil {
			return nil, final{errors.New("target redis: the process that runs replays has none: set redis.url_file for all with the role replay, and resume it")}
		}
		return openRedis(ctx, s.cfg.Redis, replay, from)
	case KindTabs:
		return &tabs{fleet: s.cfg.Fleet, result: from.Result}, nil
	case KindReplicas:
		return &rebuild{nc: s.cfg.JetStream.Conn(), replay: replay, group: s.Group(spec)}, nil
	}
	return nil, fmt.Errorf("target %q isn't known to this version", spec.Kind)
}

// Group is the group of replicas that a replay to replicas is for: this process's own where none is named.
func (s *Set) Group(spec Spec) string {
	if spec.Group == "" {
		return s.cfg.Group
	}
	return spec.Group
}

// Notes are what an operator should know before a replay of so many events begins.
func (s *Set) Notes(ctx context.Context, spec Spec, count uint64) []string {
	notes := []string{}
	switch spec.Kind {
	case KindTopic:
		if _, err := s.cfg.JetStream.StreamNameBySubject(ctx, spec.Topic); err != nil {
			notes = append(notes, "No stream takes this topic: who doesn't listen while the replay runs misses it, and nobody can tell.")
		}
	case KindRedis:
		if count > redisstore.StreamLength {
			notes = append(notes, fmt.Sprintf("The Redis Stream holds about the last %d events only: a reader must keep up, or narrow the range.", redisstore.StreamLength))
		}
	case KindTabs:
		notes = append(notes, "People will see it: each open tab of a session that is over signs out.")
	case KindReplicas:
		notes = append(notes, "Each replica of the group holds everything twice while it reads. Replicas in processes that aren't Curfew's don't hear of it: restart those.")
	}
	return notes
}

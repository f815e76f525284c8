package packaged

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// No Docker runs where the tests do. So its files are read strictly, what they name has to be there, and the image's contents are run by hand
// (TestScratch).

// instructions are those of the Dockerfile, each on one line.
func instructions(t *testing.T) (all [][2]string) {
	t.Helper()
	for line := range strings.Lines(read(t, "../../packaging/docker/Dockerfile")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if !slices.Contains([]string{"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}, word) {
			t.Errorf("%q is no instruction that is meant to be there", word)
		}
		all = append(all, [2]string{word, strings.TrimSpace(rest)})
	}
	return all
}

func TestDockerfile(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "../../go.mod"))[1]
	ignored := strings.Fields(read(t, "../../packaging/docker/Dockerfile.dockerignore"))
	stages, user := 0, ""
	for _, i := range instructions(t) {
		word, rest := i[0], i[1]
		switch word {
		case "ARG":
			if v, ok := strings.CutPrefix(rest, "GO="); ok && v != version {
				t.Errorf("it builds with Go %s, go.mod wants %s", v, version)
			}
		case "FROM":
			stages++
			if stages == 2 && rest != "scratch" {
				t.Errorf("the image is made from %q", rest)
			}
		case "COPY":
			f := strings.Fields(rest)
			if strings.HasPrefix(rest, "--from=build") {
				continue
			}
			for _, name := range f[:len(f)-1] {
				if _, err := os.Stat(filepath.Join("../..", name)); err != nil || slices.Contains(ignored, strings.Split(name, "/")[0]) {
					t.Errorf("COPY %s: it is not in what is sent: %v", name, err)
				}
			}
		case "USER":
			user = rest
		case "ENTRYPOINT", "CMD":
			var args []string
			if err := json.Unmarshal([]byte(rest), &args); err != nil || len(args) == 0 {
				t.Errorf("%s needs the form without a shell, which is not there: %v", word, err)
			}
		case "HEALTHCHECK":
			var args []string
			_, command, _ := strings.Cut(rest, "CMD ")
			if err := json.Unmarshal([]byte(command), &args); err != nil || args[0] != "/usr/bin/straum" {
				t.Errorf("HEALTHCHECK %s: %v", rest, err)
			}
		}
	}
	if stages != 2 || user != "65532:65532" {
		t.Errorf("found %d stages and the user %q", stages, user)
	}
}

// compose is the part of the Compose specification that the file uses. Any other key is a mistake, or is to be added here.
type compose struct {
	Name     string `yaml:"name"`
	Services map[string]struct {
		Build struct {
			Context    string `yaml:"context"`
			Dockerfile string `yaml:"dockerfile"`
		} `yaml:"build"`
		Image           string         `yaml:"image"`
		Command         []string       `yaml:"command"`
		DependsOn       []string       `yaml:"depends_on"`
		Ports           []string       `yaml:"ports"`
		Volumes         []string       `yaml:"volumes"`
		Tmpfs           []string       `yaml:"tmpfs"`
		ReadOnly        bool           `yaml:"read_only"`
		CapDrop         []string       `yaml:"cap_drop"`
		SecurityOpt     []string       `yaml:"security_opt"`
		Ulimits         map[string]int `yaml:"ulimits"`
		StopGracePeriod string         `yaml:"stop_grace_period"`
		Restart         string         `yaml:"restart"`
		User            string         `yaml:"user"`
	} `yaml:"services"`
	Volumes map[string]*struct{} `yaml:"volumes"`
}

func TestCompose(t *testing.T) {
	const dir = "../../packaging/compose"
	var c compose
	if err := yaml.Load([]byte(read(t, filepath.Join(dir, "compose.yaml"))), &c, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	for name, s := range c.Services {
		if s.Build.Context != "" {
			for _, path := range []string{"go.mod", s.Build.Dockerfile} {
				if _, err := os.Stat(filepath.Join(dir, s.Build.Context, path)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		} else if !regexp.MustCompile(`^[a-z/]+:v?[0-9]+\.[0-9]`).MatchString(s.Image) {
			t.Errorf("%s takes %s, which is another tomorrow", name, s.Image)
		}
		for _, other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if stat, err := os.Stat(filepath.Join(dir, from)); err != nil || !stat.Mode().IsRegular() {
					t.Errorf("%s mounts %s: %v", name, from, err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s mounts the volume %s, which is not declared", name, from)
			}
		}
	}
	// The addresses in the configurations are the names of services.
	for file, pattern := range map[string]string{"straum.yaml": `addresses: \["([a-z]+):6379"\]`, "prometheus.yml": `targets: \["([a-z]+):9900"\]`} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, filepath.Join(dir, file)))
		if m == nil {
			t.Errorf("%s names no service", file)
		} else if _, ok := c.Services[m[1]]; !ok {
			t.Errorf("%s names %s, which is no service", file, m[1])
		}
	}
	if !strings.Contains(read(t, filepath.Join(dir, "straum.yaml")), `metrics: { address: ":9900" }`) {
		t.Error("Prometheus cannot reach the metrics")
	}
}

// Prometheus understands its configuration and the alerts, which speak of metrics there are. Its tool comes with 100 MB, so CI does without.
func TestPrometheus(t *testing.T) {
	known := read(t, "../../docs/metrics.md")
	for _, name := range regexp.MustCompile(`straum_[a-z_]+`).FindAllString(read(t, "../../packaging/compose/alerts.yml"), -1) {
		if !strings.Contains(known, "`"+name+"`") {
			t.Errorf("an alert is about %s, which docs/metrics.md does not have", name)
		}
	}
	need(t, "promtool")
	output(t, "promtool", "check", "config", "../../packaging/compose/prometheus.yml")
}

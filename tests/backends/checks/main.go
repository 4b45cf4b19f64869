// Program checks reads files of collector-config as the programs they are for would, where those cannot be run here.
//
//	checks compose FILE          with Compose's own loader; prints the images
//	checks kubernetes FOLDER     builds a kustomization; decodes every object strictly; prints kinds and names
//	checks kafka PORT PARTITIONS   a broker in memory, with the topics of stream/, until its stdin ends
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/twmb/franz-go/pkg/kfake"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "checks:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "compose":
		return compose(args[1])
	case len(args) == 2 && args[0] == "kubernetes":
		return kubernetes(args[1])
	case len(args) == 3 && args[0] == "kafka":
		partitions, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return kafka(args[1], partitions)
	}
	return fmt.Errorf("unknown arguments %q; accepted: compose FILE, kubernetes FOLDER, kafka PORT PARTITIONS", args)
}

// compose loads with the schema, interpolation and consistency checks that `docker compose config` has.
func compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithName("checks"), cli.WithInterpolation(true),
		cli.WithConsistency(true), cli.WithNormalization(true), cli.WithResolvedPaths(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		fmt.Println(name, service.Image)
		for _, volume := range service.Volumes {
			if volume.Type != "bind" {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				return fmt.Errorf("service %s mounts what is not there: %w", name, err)
			}
		}
	}
	return nil
}

// kubernetes refuses unknown and repeated fields, as `kubectl apply --validate=strict` does on a server.
func kubernetes(folder string) error {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var found []string
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return err
		}
		_, kind, err := decoder.Decode(text, nil, nil)
		if err != nil {
			return fmt.Errorf("%s %s: %w", resource.GetKind(), resource.GetName(), err)
		}
		found = append(found, kind.Kind+" "+resource.GetName())
	}
	sort.Strings(found)
	for _, line := range found {
		fmt.Println(line)
	}
	return nil
}

func kafka(port string, partitions int) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number),
		kfake.SeedTopics(int32(partitions), "otlp_spans", "otlp_logs", "otlp_metrics"))
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Println("kafka", cluster.ListenAddrs())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

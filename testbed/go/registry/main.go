// Registry serves the OCI distribution API on one address: blobs lie in a folder, manifests in memory.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	folder := flag.String("folder", "", "where blobs are kept")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	// The first line, for whoever started it.
	if _, err := os.Stdout.WriteString(listener.Addr().String() + "\n"); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler:           registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(*folder))),
	}
	log.Fatal(server.Serve(listener))
}

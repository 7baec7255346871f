/*
 * Names of the OCI image specification and of docker's schema 2 that more than
 * one module needs, and the annotations of moss's own index entries.
 */
#pragma once

#define OCI_INDEX	"application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST	"application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG	"application/vnd.oci.image.config.v1+json"
#define OCI_LAYER_TAR	"application/vnd.oci.image.layer.v1.tar"
#define OCI_LAYER_GZIP	"application/vnd.oci.image.layer.v1.tar+gzip"
#define OCI_LAYER_ZSTD	"application/vnd.oci.image.layer.v1.tar+zstd"
#define DOCKER_INDEX	"application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_CONFIG	"application/vnd.docker.container.image.v1+json"

#define OCI_LAYOUT_FILE	 "oci-layout"
#define OCI_INDEX_FILE	 "index.json"
#define OCI_BLOBS	 "blobs/sha256"
#define OCI_LAYOUT_TEXT	 "{\"imageLayoutVersion\":\"1.0.0\"}"
#define ANNOTATION_NAME	 "org.opencontainers.image.ref.name"
#define ANNOTATION_IMAGE "io.containerd.image.name"

/* Bytes of all layers unpacked, so that lists need not look at them. */
#define ANNOTATION_SIZE "moss.unpacked-size"
/* What a registry's name led to: the digest of the manifest, or of an index of
   several platforms, which is kept with the image. */
#define ANNOTATION_DIGEST "moss.digest"
/* A kept index of what refers to the image: signatures and the like. */
#define ANNOTATION_REFERRERS "moss.referrers"
/* When the name was given, RFC 3339. */
#define ANNOTATION_TAGGED "moss.tagged"
/* Removed by force while a container still needs the layers: not shown, kept
   until nobody needs it. */
#define ANNOTATION_REMOVED "moss.removed"

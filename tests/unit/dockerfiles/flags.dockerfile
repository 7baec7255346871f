FROM --platform=$BUILDPLATFORM busybox:1@sha256:0123456789012345678901234567890123456789012345678901234567890123 AS Name
COPY --from=0 --chown=1:2 --chmod=755 --link --parents --exclude=*.a --exclude=*.b a b/
ADD --checksum=sha256:00 --keep-git-dir=true --unpack=false https://example.org/a /
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --network=none --security=sandbox make --mount
HEALTHCHECK --interval=5s --timeout=3s --start-period=1s --start-interval=1s --retries=3 CMD curl -f http://localhost
HEALTHCHECK CMD ["a", "b"]
HEALTHCHECK NONE

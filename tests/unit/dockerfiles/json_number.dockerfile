FROM busybox
ENTRYPOINT ["a", 1]

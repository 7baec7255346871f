FROM busybox
RUN x
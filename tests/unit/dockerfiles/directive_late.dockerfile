# a comment ends the directives
# escape=`
FROM busybox
RUN echo a \
    b

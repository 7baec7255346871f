FROM busybox
RUN one && \
# a comment inside
    two && \

    three \
  # an indented one
    four
RUN ends with two \\
RUN spaces after \   
    the escape

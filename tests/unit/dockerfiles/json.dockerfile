FROM busybox
RUN ["/bin/echo", "a \"b\"", "\u00e9"]
CMD []
CMD [ "a" , "b" ]
CMD ["not", json]
CMD ['single']
SHELL ["/bin/sh", "-c"]
VOLUME ["/a", "/b c"]
VOLUME /a /b

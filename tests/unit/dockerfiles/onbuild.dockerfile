FROM busybox
ONBUILD RUN --network=none make
ONBUILD COPY --from=x a /b
ONBUILD ENV A=b
ONBUILD COPY <<EOF /c
text
EOF

FROM busybox
RUN <<EOF
echo "$A" \
  b
# no comment
EOF
RUN <<-'TAB' cat > /x
	a
		b
	TAB
RUN 3<<"A B" cat <<C
one
A B
two
C
COPY <<a <<'b' plain /dir/
for a
a
for b
b
CMD cat <<EOF
RUN ["echo", "<<EOF"]

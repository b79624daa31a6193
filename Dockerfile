# SPDX-License-Identifier: Apache-2.0
# docker build -t curfew . && docker run --stop-timeout 40 -p 8080:8080 -v "$PWD/conf:/etc/curfew:ro" curfew
# where conf/curfew.yaml is the configuration; docs/operations.md says more.
FROM debian:12-slim AS build
WORKDIR /src
COPY deploy/need.sh deploy/need.sh
RUN deploy/need.sh build
COPY . .
RUN make -j"$(nproc)" all && make install DESTDIR=/out PREFIX=/usr && strip /out/usr/bin/curfew

FROM debian:12-slim
COPY deploy/need.sh /tmp/need.sh
# What the base image runs with its owner's rights is of no use to somebody who has none.
RUN /tmp/need.sh run && rm -rf /tmp/need.sh /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && groupadd --gid 10001 curfew && useradd --no-create-home --home-dir / --uid 10001 --gid 10001 --shell /usr/sbin/nologin curfew \
 && find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
# From the installation, whose modes do not depend on the umask of the checkout.
COPY --from=build /out/usr/bin/curfew /usr/bin/curfew
COPY --from=build /out/usr/share/doc/curfew/LICENSE /usr/share/doc/curfew/LICENSE
COPY --from=build /out/etc/curfew/curfew.yaml /etc/curfew/curfew.yaml
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Asks /readyz of the admin address; the configuration that is mounted must keep it.
HEALTHCHECK --interval=10s --timeout=2s --start-period=2s CMD ["curfew", "healthcheck", "-l", "127.0.0.1:9901"]
# A configuration that is wrong is told on stderr, with its places, and the container does not start.
ENTRYPOINT ["curfew"]
CMD ["run", "-c", "/etc/curfew/curfew.yaml"]

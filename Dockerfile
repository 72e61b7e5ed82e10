# EXTRA=cpu: torch for processors; EXTRA=gpu: the usual index's torch with its CUDA libraries, faiss-gpu.
FROM python:3.12-slim
ARG EXTRA=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY . .
RUN if [ "$EXTRA" = cpu ]; then \
        pip install --no-deps --index-url https://download.pytorch.org/whl/cpu \
            $(sed -n '/^torch\(vision\)*==/p' constraints.txt); \
    fi \
    && pip install -c constraints.txt ".[$EXTRA,export]"
WORKDIR /work
ENTRYPOINT ["mofore"]
CMD ["--help"]

/** Why something a backend refers to is not used. The reasons are those of ResolvedRefs. */
export interface Problem {
  readonly reason: 'SecretNotFound' | 'SecretKeyNotFound' | 'ServiceNotFound' | 'PortNotFound' | 'UnsupportedService';
  /** Names the object; whoever lists problems puts the backend before it. */
  readonly message: string;
}
